"""How model files hold weights: in half precision, and large matrices of networks over tokens in eight bits.

Plain ONNX (opset 17): `NAME.half` and a Cast, or `NAME.whole` and `NAME.scales` with a DequantizeLinear, each under the
weight's name. The program unpacks the latter to the former when it reads a file (src/model/graph/packed.rs).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALL = 1024
"""Tensors with fewer numbers stay in single precision."""
MANY = 8192
"""Matrices with fewer numbers stay in half precision."""
ROUNDED = 32_768
"""Smaller ones the program does not round by itself."""
LARGEST = 64
"""Whole numbers go so far where the program computes with them (src/model/graph/eight_bits.rs): it finds the same."""
FINEST = 127
"""Where it does not: small matrices, the table of tokens, networks that it computes in single precision."""
TABLE = "table"
"""Of tokens: what comes in is looked up there, and what goes out is multiplied with it."""

HALF, WHOLE, SCALES = ".half", ".whole", ".scales"


def rounded(values: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers up to ±`largest`, and one scale a row, which is a column of the product. The largest number of a
    row is taken in half precision: so it and the scale stay what they are when the program unpacks them to that."""
    with np.errstate(over="ignore"):
        values = values.astype(np.float16).astype(np.float32)
    if not np.isfinite(values).all():
        raise SystemExit("storage: a weight is too large for half precision, or not a number")
    most = np.abs(values).max(1)
    scales = np.where(most > 0, most / np.float32(largest), np.float32(1)).astype(np.float32)
    return np.rint(values / scales[:, None]).astype(np.int8), scales


def packs(name: str, shape: tuple[int, ...], largest: int | None) -> int | None:
    """How far the whole numbers of a weight go; `None` where it is not stored in eight bits."""
    if largest is None or len(shape) != 2 or np.prod(shape) < MANY:
        return None
    return FINEST if name == TABLE or np.prod(shape) < ROUNDED else largest


def as_stored(name: str, values: np.ndarray, largest: int | None) -> np.ndarray:
    """In single precision, what comes back of a weight."""
    if values.size < SMALL:
        return values
    if far := packs(name, values.shape, largest):
        whole, scales = rounded(values, far)
        return whole.astype(np.float32) * scales[:, None]
    return values.astype(np.float16).astype(np.float32)


def store(graph: onnx.GraphProto, largest: int | None = None) -> None:
    """Large weights in half precision; with `largest` large matrices in eight bits, also those that were in half
    precision."""
    casts = {node.input[0]: node for node in graph.node if node.op_type == "Cast"}
    tensors, nodes = [], []
    for tensor in graph.initializer:
        name, values = tensor.name.removesuffix(HALF), numpy_helper.to_array(tensor)
        far = packs(name, values.shape, largest)
        if values.dtype == np.float16 and far:
            graph.node.remove(casts[tensor.name])
        elif values.dtype != np.float32 or values.size < SMALL or name.endswith(SCALES):
            tensors.append(tensor)
            continue
        if far:
            whole, scales = rounded(values, far)
            both = [name + WHOLE, name + SCALES]
            tensors += map(numpy_helper.from_array, (whole, scales), both)
            nodes.append(helper.make_node("DequantizeLinear", both, [name], f"unpack {name}", axis=0))
        else:
            tensors.append(numpy_helper.from_array(values.astype(np.float16), name + HALF))
            nodes.append(helper.make_node("Cast", [name + HALF], [name], f"cast {name}", to=TensorProto.FLOAT))
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)


def weights(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """What a file holds, by the weights' own names and in the precision it is held in; packed matrices in single."""
    held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    found = {}
    for name, values in held.items():
        if name.endswith(WHOLE):
            name = name.removesuffix(WHOLE)
            values = values.astype(np.float32) * held[name + SCALES][:, None]
        if not name.endswith(SCALES):
            found[name.removesuffix(HALF)] = values
    return found
