"""What of a graph tensorflow-neuron 2.10 makes a program of the chip.

After aws-neuron/aws-neuron-tensorflow @3fd6869: the operations of python/neuron_cc_hlo.py, the
choices of grappler/convert/convert_graph.cc and the joining of grappler/convert/segment.cc. Not
modelled: int64 at a program's border, and operations after a concatenation of more than three.
"""

import sys
from collections.abc import Callable
from typing import Any

OPERATIONS = """
    Add AddN AddV2 Any AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchToSpaceND BiasAdd Cast
    Concat ConcatV2 Const Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cumsum
    DepthwiseConv2dNative Einsum Elu Erf Exp ExpandDims FakeQuantWithMinMaxVars FusedBatchNorm
    FusedBatchNormV2 FusedBatchNormV3 Greater Identity IdentityN LeakyRelu LogicalAnd LogicalNot
    MatMul Max MaxPool MaxPool3D Maximum Minimum Mean Mul Neg NotEqual Pack Pad Pow RealDiv Relu
    Relu6 Reshape Rsqrt Select SelectV2 Selu Sigmoid Slice Softmax Softplus Softsign SpaceToBatchND
    Split SplitV Sqrt Square SquaredDifference Squeeze StridedSlice Sub Sum Tanh Tile Transpose
    Unpack
"""
SUPPORTED = frozenset(OPERATIONS.split())
EXPENSIVE = frozenset(("BatchMatMul", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "MatMul"))
SMALL = 0.8  # a piece with more than this share of all pieces' operations is kept alone
Node = Any  # a NodeDef


def segments(
    graph_def: Any, subgraph_builder_function: Callable[[Node], bool] | None = None
) -> list[set[str]]:
    """The pieces of a graph that would become a program each, as sets of node names."""
    nodes = {node.name: node for node in graph_def.node}
    before = {name: {source(i) for i in node.input} for name, node in nodes.items()}
    after: dict[str, set[str]] = {name: set() for name in nodes}
    for name, sources in before.items():
        for other in sources:
            after[other].add(name)
    automatic = subgraph_builder_function is None
    wanted = subgraph_builder_function or (lambda node: node.op in SUPPORTED)
    left_out = _first_convolution_parents(nodes, before) if automatic else set()
    fit = {
        name
        for name, node in nodes.items()
        if node.op != "Placeholder" and wanted(node) and name not in left_out and _fixed(node)
    }
    pieces = {name: {name} for name in fit}
    for name in _from_the_end(after):
        grown = name in pieces
        while grown:
            grown = False
            for reader in sorted(after[name] & pieces.keys()):
                if reader in after[name] and not _reached(name, before[reader] - {name}, before):
                    pieces[name] |= pieces.pop(reader)
                    for mine, theirs in ((before, after), (after, before)):
                        for other in mine.pop(reader):
                            theirs[other].discard(reader)
                            if other != name:
                                theirs[other].add(name)
                                mine[name].add(other)
                    grown = True
    found = list(pieces.values())
    if automatic and len(found) > 1:
        found = [p for p in found if any(nodes[n].op in EXPENSIVE for n in p)] or found
        largest = max(found, key=len)
        if len(largest) > SMALL * sum(map(len, found)):
            found = [largest]
    return found


def _first_convolution_parents(nodes: dict[str, Node], before: dict[str, set[str]]) -> set[str]:
    """What is before a first convolution with a stride, few channels and no padding of its own."""
    first = next((node for node in nodes.values() if node.op == "Conv2D"), None)
    if first is None or first.attr["padding"].s != b"VALID":
        return set()
    image, kernel = (nodes[source(name)] for name in first.input)
    _, height, width, channels = _shape(image)
    down, across = first.attr["strides"].list.i[1:3]
    window = _shape(kernel)
    fits = down == across > 1 and height % down == width % across == 0 and max(window[:2]) > 1
    if not fits or channels >= 32 or window[2] != channels:
        return set()
    found, unseen = set[str](), [image.name]
    while unseen:
        name = unseen.pop()
        found.add(name)
        unseen += before[name]
    return found if len(found) <= len(nodes) / 2 else set()


def _from_the_end(after: dict[str, set[str]]) -> list[str]:
    """Every name after all that read it."""
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in order:
            for reader in sorted(after[name]):
                visit(reader)
            order[name] = None

    sys.setrecursionlimit(10_000)
    for name in list(after):
        visit(name)
    return list(order)


def _reached(name: str, starts: set[str], before: dict[str, set[str]]) -> bool:
    seen, unseen = set[str](), list(starts)
    while unseen:
        at = unseen.pop()
        if at == name:
            return True
        if at not in seen:
            seen.add(at)
            unseen += before[at]
    return False


def source(name: str) -> str:
    """The node that a tensor or a control input comes from."""
    return name.lstrip("^").split(":")[0]


def _shape(node: Node) -> list[int]:
    return [dim.size for dim in node.attr["_output_shapes"].list.shape[0].dim]


def _fixed(node: Node) -> bool:
    shapes = node.attr["_output_shapes"].list.shape
    return not any(shape.unknown_rank or any(d.size < 0 for d in shape.dim) for shape in shapes)
