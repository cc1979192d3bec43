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
details > div { margin-left: 1rem }
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
const words = (shape) => {
  if (!shape) return "";
  if (shape.$ref) return shape.$ref.split("/").pop();
  if (shape.anyOf) return shape.anyOf.map(words).join(" | ");
  if (shape.enum) return shape.enum.map((one) => JSON.stringify(one)).join(", ");
  if (shape.type === "array") return "list of " + (words(shape.items) || "anything");
  const low = shape.minimum ?? "", high = shape.maximum ?? "";
  const kind = [].concat(shape.type || "anything").join(" | ");
  return kind + (low !== "" || high !== "" ? " " + low + ".." + high : "");
};
const rows = (heads, lines) => make("table", "",
  make("tr", "", ...heads.map((head) => make("th", head))),
  ...lines.map((line) => make("tr", "", ...line.map((cell) => make("td", cell)))));
const fields = (shape) => rows(["name", "values", "default", ""], Object.entries(shape.properties || {}).map(
  ([name, field]) => [name, words(field), "default" in field ? JSON.stringify(field.default) : "", field.description || ""]));
const content = (title, found) => Object.entries(found || {}).map(([type, one]) =>
  make("div", "", make("p", title + " (" + type + "): " + (one.schema.properties ? "" : words(one.schema))),
    ...(one.schema.properties ? [fields(one.schema)] : [])));
const call = (method, path, operation) => {
  const head = make("summary", "", make("b", method.toUpperCase()), make("code", path), " " + operation.summary);
  const body = make("div", operation.description || "");
  if (operation["x-administrators-only"]) body.append(make("p", "Administrators only."));
  if (operation.parameters) body.append(rows(["parameter", "in", "values", ""], operation.parameters.map(
    (one) => [one.name, one.in, words(one.schema), one.description || ""])));
  body.append(...content("body", (operation.requestBody || {}).content));
  for (const [status, answer] of Object.entries(operation.responses))
    body.append(...content(status, answer.content));
  const made = make("details", "", head, body);
  made.dataset.words = (method + " " + path + " " + operation.summary).toLowerCase();
  return made;
};
fetch("openapi.json").then((answer) => answer.json()).then((api) => {
  document.getElementById("about").textContent = "Version " + api.info.version + ". " + api.info.description;
  for (const tag of api.tags) {
    const section = make("section", "", make("h2", tag.name), make("p", tag.description));
    for (const [path, item] of Object.entries(api.paths))
      for (const [method, operation] of Object.entries(item))
        if (operation.tags.includes(tag.name)) section.append(call(method, path, operation));
    document.getElementById("calls").append(section);
  }
  for (const [name, shape] of Object.entries(api.components.schemas))
    document.getElementById("schemas").append(make("details", "", make("summary", name),
      make("div", shape.description || ""), shape.properties ? fields(shape) : make("p", words(shape))));
}).catch((error) => { document.getElementById("about").textContent = "openapi.json cannot be read: " + error; });
document.getElementById("find").addEventListener("input", (event) => {
  for (const one of document.querySelectorAll("main details"))
    one.hidden = !one.dataset.words.includes(event.target.value.toLowerCase());
});
</script>
</html>
"""
