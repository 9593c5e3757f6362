"""The deepest stack of an AVR image, from its disassembly: the longest chain of calls from reset, and the deepest handler on top.

Usage: stack_depth.py ELF. Prints bytes. Refuses what it cannot bound: recursion, calls through pointers, frames of a
size that is not a constant.
"""

import re
import subprocess
import sys

CALL = {"call", "rcall"}
JUMP = {"jmp", "rjmp"}
BRANCH = {"breq", "brne", "brcs", "brcc", "brlo", "brsh", "brmi", "brpl", "brge", "brlt", "brhs", "brhc", "brts", "brtc",
          "brvs", "brvc", "brie", "brid"}
RETURN_ADDRESS = 2
VECTORS = "__vectors"


def functions(elf):
    """Name -> list of (address, mnemonic, operands), the comment's target address folded into the operands."""
    text = subprocess.run(["avr-objdump", "-d", "--no-show-raw-insn", elf], check=True, capture_output=True, text=True).stdout
    found, name = {}, None
    for line in text.splitlines():
        if head := re.fullmatch(r"([0-9a-f]+) <(.+)>:", line):
            name = head[2]
            found[name] = []
        elif (code := re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)", line)) and name:
            found[name].append((int(code[1], 16), code[2], code[3]))
    return found


def target(operands, starts):
    """The function that a call or jump goes to, or None when it stays inside an unnamed place."""
    place = re.search(r"0x([0-9a-f]+)\s+<", operands) or re.search(r"0x([0-9a-f]+)$", operands)
    if not place:
        raise SystemExit(f"stack_depth: no target in '{operands}'")
    address = int(place[1], 16)
    return max((start for start in starts if start <= address), default=None)


def frame(name, code):
    """Bytes that a function puts on the stack itself."""
    size, low, high = 0, None, None
    for _, mnemonic, operands in code:
        if mnemonic == "push":
            size += 1
        elif mnemonic == "sbiw" and operands.startswith("r28"):
            size += int(re.search(r"0x([0-9a-f]+)", operands)[1], 16)
        elif mnemonic == "subi" and operands.startswith("r28"):
            low = int(re.search(r"0x([0-9a-f]+)", operands)[1], 16)
        elif mnemonic == "sbci" and operands.startswith("r29"):
            high = int(re.search(r"0x([0-9a-f]+)", operands)[1], 16)
            if low is None:
                raise SystemExit(f"stack_depth: {name} moves the stack pointer by a half-known amount")
            moved = high << 8 | low
            if moved < 0x8000:  # the other sign gives the frame back
                size += moved
            low = None
    return size


def main():
    code = {name: lines for name, lines in functions(sys.argv[1]).items() if lines}
    starts = {lines[0][0]: name for name, lines in code.items()}
    order = [starts[start] for start in sorted(starts)]
    following = dict(zip(order, order[1:]))
    depths = {}

    def destination(operands):
        return starts[target(operands, starts)]

    def body(name):
        """The labels that `name` reaches without a call: assembly functions are full of labels, and calls at the end are jumps."""
        reached, waiting = set(), [name]
        while waiting:
            label = waiting.pop()
            if label in reached:
                continue
            reached.add(label)
            waiting += [destination(operands) for _, mnemonic, operands in code[label] if mnemonic in JUMP | BRANCH]
            if code[label][-1][1] not in JUMP | {"ret", "reti"} and label in following:
                waiting.append(following[label])  # runs on into the next
        return reached

    def depth(name, chain=()):
        if name in chain:
            raise SystemExit(f"stack_depth: recursion: {' -> '.join((*chain, name))}")
        if name not in depths:
            own = deepest = 0
            for label in body(name):
                own += frame(label, code[label])  # as if none were given back before a jump: never too little
                for _, mnemonic, operands in code[label]:
                    if mnemonic in {"icall", "ijmp", "eicall", "eijmp"}:
                        raise SystemExit(f"stack_depth: {label} calls through a pointer")
                    if mnemonic in CALL:
                        deepest = max(deepest, RETURN_ADDRESS + depth(destination(operands), (*chain, name)))
            depths[name] = own + deepest
        return depths[name]

    vectors = [destination(operands) for _, _, operands in code[VECTORS]]
    reset, handlers = vectors[0], set(vectors[1:]) - {"__bad_interrupt"}
    print(depth(reset) + max(RETURN_ADDRESS + depth(handler) for handler in handlers))


main()
