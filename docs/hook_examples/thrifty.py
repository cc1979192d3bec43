"""No job takes more than thirty steps; a request may ask for fewer still."""

from dataclasses import dataclass, replace

from stretto.host import hookimpl


@dataclass(frozen=True)
class Parameters:
    limit: int = 30


@hookimpl(wrapper=True)
def build_plan(request, host):
    plan = yield
    limit = min(30, host.plugin_parameters("thrifty", Parameters, request).limit)
    nodes = tuple(
        replace(node, num_inference_steps=min(node.num_inference_steps, limit)) for node in plan.nodes
    )
    return (
        plan
        if nodes == plan.nodes
        else replace(plan, nodes=nodes).with_note(f"thrifty: {limit} steps at most")
    )
