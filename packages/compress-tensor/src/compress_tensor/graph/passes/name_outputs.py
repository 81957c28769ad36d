"""Let nodes write graph outputs directly instead of handing them to an Identity.

What an Identity makes an output of takes the output's name, so its memory is the caller's array and
nothing is copied.  Inputs, constants and values that are outputs themselves keep their Identity.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph
from ..rename import renamed_where


def name_outputs(graph: Graph) -> Graph:
    """Return the graph without the Identities that only name an output."""
    outputs = {value.name for value in graph.outputs}
    made = {name for node in graph.nodes for name in node.outputs if name} - outputs
    names: dict[str, str] = {}
    for node in graph.nodes:
        if node.op == "Identity" and not node.domain and node.outputs[0] in outputs:
            source = node.inputs[0]
            if source in made:
                names.setdefault(source, node.outputs[0])
    if not names:
        return graph
    done = set(names.items())
    nodes = [
        renamed_where(node, names)
        for node in graph.nodes
        if node.op != "Identity" or (node.inputs[0], node.outputs[0]) not in done
    ]
    return replace(graph, nodes=nodes)
