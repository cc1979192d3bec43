"""The page that shows the OpenAPI document: one file that loads nothing but `openapi.json` beside it."""

from __future__ import annotations

__all__ = ["PAGE"]

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Stretto API</title>
<style>
body { font: 1rem/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
summary { cursor: pointer; padding: .25rem 0 }
summary b { display: inline-block; width: 4.5rem; font-family: monospace }
pre { background: #f3f3f3; padding: .75rem; overflow: auto; font-size: .85rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; border-top: 1px solid #ddd; padding: .25rem .5rem .25rem 0 }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .25rem .5rem }
details > div, details > table, details > p { margin-left: 1rem }
details > table { width: calc(100% - 1rem) }
section[hidden], details[hidden] { display: none }
a { color: #0645ad }
</style>
<h1>Stretto API</h1>
<p id="about">Reading openapi.json ...</p>
<p><input id="find" type="search" placeholder="Find by path or words" aria-label="Find"></p>
<main id="calls"></main>
<h2>Schemas</h2>
<section id="schemas"></section>
<p><a href="openapi.json">openapi.json</a> - <a href="problems">problem types</a></p>
<script>
"use strict";
const make = (tag, text, ...inside) => {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  made.append(...inside);
  return made;
};
const named = (ref) => ref.split("/").pop();
const said = (text) => (text || "").split("`").map((part, at) => at % 2 ? make("code", part) : part);
const listed = (shapes) => shapes.flatMap((one, at) => at ? [", or ", ...words(one)] : words(one));
const words = (shape) => {
  if (!shape) return [];
  if (shape.$ref) {
    const link = make("a", named(shape.$ref));
    link.href = "#" + named(shape.$ref);
    return [link];
  }
  if (shape.anyOf) return listed(shape.anyOf);
  if (shape.enum) return [shape.enum.map((one) => JSON.stringify(one)).join(", ")];
  if ("const" in shape) return [JSON.stringify(shape.const)];
  if (shape.items) return ["list of ", ...(words(shape.items).length ? words(shape.items) : ["anything"])];
  if (shape.properties) return ["object with " + Object.keys(shape.properties).join(", ")];
  if (shape.additionalProperties) return ["object, each ", ...words(shape.additionalProperties)];
  const low = shape.minimum ?? "", high = shape.maximum ?? "";
  const kind = [].concat(shape.type || "anything").join(" or ");
  return [kind + (low !== "" || high !== "" ? " " + low + ".." + high : "")];
};
const rows = (heads, lines) => make("table", "",
  make("tr", "", ...heads.map((head) => make("th", head))),
  ...lines.map((line) => make("tr", "", ...line.map((cell) => make("td", "", ...[].concat(cell))))));
const fields = (shape) => rows(["name", "values", "default", ""], Object.entries(shape.properties || {}).map(
  ([name, field]) => [make("code", name), words(field), "default" in field ? JSON.stringify(field.default) : "",
    said(field.description)]));
const content = (title, found) => Object.entries(found || {}).map(([type, one]) =>
  make("p", title + " (" + type + "): ", ...words((one.schema.properties || {}).data || one.schema)));
const call = (method, path, operation) => {
  const head = make("summary", "", make("b", method.toUpperCase()), make("code", path), " ", ...said(operation.summary));
  const body = make("div", "", ...said(operation.description));
  if (operation["x-administrators-only"]) body.append(make("p", "Administrators only."));
  if (operation.parameters) body.append(rows(["parameter", "in", "values", ""], operation.parameters.map(
    (one) => [make("code", one.name), one.in, words(one.schema), said(one.description)])));
  body.append(...content("body", (operation.requestBody || {}).content));
  body.append(...content("200", operation.responses["200"].content));
  const errors = Object.entries(operation.responses).filter(([status]) => status !== "200");
  body.append(make("p", errors.length ? "Also: " + errors.map(([status]) => status).join(", ") : ""));
  const made = make("details", "", head, body);
  made.dataset.words = (method + " " + path + " " + operation.summary).toLowerCase();
  return made;
};
const show = () => {
  const found = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (found && found.tagName === "DETAILS") { found.open = true; found.scrollIntoView(); }
};
fetch("openapi.json").then((answer) => answer.json()).then((api) => {
  document.getElementById("about").replaceChildren(
    "Version " + api.info.version + ". ", ...said(api.info.description));
  for (const tag of api.tags) {
    const section = make("section", "", make("h2", tag.name), make("p", "", ...said(tag.description)));
    for (const [path, item] of Object.entries(api.paths))
      for (const [method, operation] of Object.entries(item))
        if (operation.tags.includes(tag.name)) section.append(call(method, path, operation));
    document.getElementById("calls").append(section);
  }
  for (const [name, shape] of Object.entries(api.components.schemas)) {
    const made = make("details", "", make("summary", name), make("div", "", ...said(shape.description)),
      shape.properties ? fields(shape) : make("p", "", ...words(shape)));
    made.id = name;
    document.getElementById("schemas").append(made);
  }
  show();
}).catch((error) => { document.getElementById("about").textContent = "openapi.json cannot be read: " + error; });
addEventListener("hashchange", show);
document.getElementById("find").addEventListener("input", (event) => {
  for (const one of document.querySelectorAll("main details"))
    one.hidden = !one.dataset.words.includes(event.target.value.toLowerCase());
  for (const one of document.querySelectorAll("main section"))
    one.hidden = !one.querySelector("details:not([hidden])");
});
</script>
</html>
"""
