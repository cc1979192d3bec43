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
    nodes = tuple(replace(one, num_inference_steps=min(one.num_inference_steps, limit)) for one in plan.nodes)
    if nodes == plan.nodes:
        return plan
    return replace(plan, nodes=nodes).with_note(f"thrifty: {limit} steps at most")
