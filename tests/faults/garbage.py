"""Messages that make no sense, by seed; and a sender of them, in its own process (`python garbage.py PORT COUNT`)."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence

import zmq

Frames = Sequence[bytes]

VALID: Sequence[Frames] = [
    [b'good', b'["the first","the second"]', b'17', b'2'],
    [b'good', b'[["the","first"],["of"]]', b'18', b'2'],
    [b'good', b'[[5,6,7],[8]]', b'19', b'2'],
    [b'good', b'["a ||| b"]', b'20', b'1', b'{"deadline_ms":1000,"token_counts":true}'],
    [b'good', b'["the"]', b'21', b'1', b'{"tokenize":true}'],
    [b'good', b'SHOW_STATUS', b'22', b'0'],
    [b'good', b'CANCEL', b'17', b'0'],
]  # no TERMINATION, which is obeyed

IDENTITIES = [b'', b'#', b'a#b', b'\xff\xfe', 'ü'.encode(), b'x' * 10_000, b'\0', b' ', b'garbage']
IDS = [b'', b'one', b'-1', b'1.5', b'9' * 21, b'1 ', '١'.encode(), b'\xff', b'7']
COUNTS = [b'', b'two', b'0', b'-1', b'1e3', b'99999999999999999999', b'5', b'300', b'5000000000']
MESSAGES = [
    b'', b'[', b'[]', b'{}', b'null', b'0', b'"the"', b'["the"', b'["the"],', b'[null]', b'[1]', b'[[]]', b'[[[]]]', b'[""]',
    b'["  "]', b'["\\ud800"]', b'[NaN]', b'[1e400]', b'["the", 5]', b'[["the", 5]]', b'[["the"], "of"]', b'[{"a": 1}]',
    b'[' * 2000, b'[' * 2000 + b']' * 2000, b'\xff\xfe["the"]', b'["\xc3\x28"]', b'[' + b'1' * 5000 + b']', b'[[-1]]',
    b'[[99999999]]', b'[["\\ud800"]]', json.dumps(['the ' * 20_000]).encode(), b'["a ||| b ||| c"]', b'["||| "]',
    b'["\\u0000"]', b'SHOW_CONFI', b'show_config', b'TERMINATIO', b'\0' * 100,
]  # fmt: skip
OPTIONS = [
    b'',
    b'{',
    b'[]',
    b'{"deadline_ms": 0}',
    b'{"deadline_ms": 1e9}',
    b'{"no": 1}',
    b'{"tokenize": 1}',
    b'x' * 5000,
]


def make_garbage(seed: int, count: int) -> Iterator[Frames]:
    """So many messages, in each of which at least one thing is wrong or odd."""
    dice = random.Random(seed)
    for _ in range(count):
        kind = dice.randrange(8)
        if kind == 0:  # frames that are none, or too many
            yield [dice.randbytes(dice.randrange(20)) for _ in range(dice.choice((1, 2, 3, 6, 50)))]
            continue
        frames = [b'garbage', dice.choice(MESSAGES), b'%d' % dice.randrange(100), b'%d' % dice.choice((1, 1, 2, 300))]
        if kind == 1:
            frames[0] = dice.choice(IDENTITIES)
        elif kind == 2:
            frames[2] = dice.choice(IDS)
        elif kind == 3:
            frames[3] = dice.choice(COUNTS)
        elif kind == 4:
            frames.append(dice.choice(OPTIONS))
        elif kind == 5:
            frames[0] = b'garbage %d' % dice.randrange(1000)
        yield frames


def mutate(dice: random.Random, frames: Frames) -> list[bytes]:
    """`frames` with a few random changes: bytes flipped, cut, doubled, put in; frames swapped, dropped, doubled."""
    changed = list(frames)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(changed))
        frame = bytearray(changed[place])
        at = dice.randrange(len(frame) + 1)
        match dice.randrange(9):
            case 0:
                frame[at : at + 1] = dice.randbytes(1)
            case 1:
                frame[at:at] = dice.randbytes(dice.randint(1, 8))
            case 2:
                del frame[at : at + dice.randint(1, 8)]
            case 3:
                frame[at:at] = frame[: dice.randint(0, 30)]
            case 4:
                frame[at:at] = dice.choice(
                    (b'[', b']', b'"', b'\\', b',', b'\\ud800', b'{', b'}', b'-', b'9' * 30, b'null')
                )
            case 5:
                other = dice.randrange(len(changed))
                changed[place], changed[other] = changed[other], changed[place]
                continue
            case 6 if len(changed) > 1:
                del changed[place]
                continue
            case 7:
                changed.insert(place, bytes(frame))
                continue
            case _:
                frame[at:at] = dice.choice(dice.choice(VALID))
        changed[place] = bytes(frame)
    return changed


def send_all(port: int, messages: Iterator[Frames]) -> None:
    """Send them as fast as they are taken, and wait until they are."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as out:
        out.setsockopt(zmq.LINGER, -1)
        out.connect('tcp://127.0.0.1:%d' % port)
        for frames in messages:
            out.send_multipart(frames)


if __name__ == '__main__':
    send_all(int(sys.argv[1]), make_garbage(1, int(sys.argv[2])))
