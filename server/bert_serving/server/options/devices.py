"""Options: where and how the model is computed, and what is logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .engines import TENSORFLOW, engine
from .option import DEVICES, OTHER, flag, option
from .values import fraction, log_format, whole_number


@dataclass(frozen=True)
class DeviceOptions:
    """The options of the groups `DEVICES` and `OTHER`."""

    cpu: bool = flag(
        group=DEVICES,
        help='run on the CPU',
    )
    engine: str = option(
        default=TENSORFLOW,
        group=DEVICES,
        help='what computes the model: tensorflow; or onnxruntime, on the CPU only and with the extra [onnx], which '
        'starts faster, takes less memory, and is faster for single sentences',
        parse=engine,
        metavar='ENGINE',
    )
    int8: bool = flag(
        group=DEVICES,
        help='multiply 8-bit integers, and return float32 vectors; with -engine onnxruntime',
    )
    xla: bool = flag(
        group=DEVICES,
        help='compile the graph with XLA',
    )
    fp16: bool = flag(
        group=DEVICES,
        help='compute in float16 if all workers run on GPUs, and return float16 vectors',
    )
    bf16: bool = flag(
        group=DEVICES,
        help='compute in bfloat16, and return float32 vectors',
    )
    gpu_memory_fraction: float = option(
        default=0.5,
        group=DEVICES,
        help="fraction of a GPU's memory that each worker can use",
        parse=fraction,
        metavar='FRACTION',
    )
    device_map: Sequence[int] = option(
        default=(),
        group=DEVICES,
        help='GPU ids, assigned to the workers in turn; -1 is the CPU, so "0 -1" uses both; ignored with -cpu',
        parse=whole_number(-1),
        metavar='ID',
        many=True,
    )

    log_format: str = option(
        default='auto',
        group=OTHER,
        help='lines of the log: plain as in 1.10, time with the time before it, json with an object a line. auto: plain '
        'on a terminal, else time',
        parse=log_format,
        metavar='FORMAT',
    )
    verbose: bool = flag(
        group=OTHER,
        help='log every request, and the messages of TensorFlow',
    )
