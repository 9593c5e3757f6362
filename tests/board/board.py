"""Checks of ancillary/hardware/board.kicad_sch by KiCad's command line. `run` says where that is: KICAD names a root to change to, or nothing."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

HARDWARE = Path(__file__).resolve().parents[2] / "ancillary/hardware"
FILES = "board.kicad_sch", "board.kicad_pro", "watchtower.kicad_sym", "sym-lib-table"
ROOT = os.environ["KICAD"]


class Project:
    """A copy of the board's files, on which KiCad may leave its traces."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(dir=f"{ROOT}/tmp"))
        for name in FILES:
            shutil.copy(HARDWARE / name, self.folder)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def kicad(self, *arguments):
        inside = self.folder if not ROOT else f"/{self.folder.relative_to(ROOT)}"
        root = ["chroot", ROOT] if ROOT else []
        command = [*root, "env", "-C", str(inside), f"HOME={inside}", "kicad-cli", "sch", *arguments, "board.kicad_sch"]
        return subprocess.run(command, capture_output=True, text=True)

    def violations(self):
        """Exit status and report of the electrical rule check, warnings included."""
        done = self.kicad("erc", "--severity-all", "--exit-code-violations", "-o", "erc.rpt")
        return done.returncode, (self.folder / "erc.rpt").read_text() if (self.folder / "erc.rpt").exists() else done.stderr

    def nets(self):
        """Each net as a set of pins, `U1.14`."""
        done = self.kicad("export", "netlist", "--format", "kicadxml", "-o", "board.xml")
        assert done.returncode == 0, done.stderr
        nets = xml.parse(self.folder / "board.xml").iter("net")
        return [{f"{node.get('ref')}.{node.get('pin')}" for node in net.iter("node")} for net in nets]

    def picture(self):
        """The sheet as SVG, less what KiCad says more often than once: fewer bytes, the same picture."""
        done = self.kicad("export", "svg", "--exclude-drawing-sheet", "--no-background-color", "-o", ".")
        assert done.returncode == 0, done.stderr
        svg = (self.folder / "board.svg").read_text()
        svg = re.sub(r"<title>.*?</title>", "<title>Watchtower: light, servo and fan</title>", svg, flags=re.S)
        svg = re.sub(r"\s+", " ", svg)
        svg = re.sub(r"stroke-opacity:1; |stroke-linecap:round; stroke-linejoin:round;", "", svg)
        svg = re.sub(r"(\d+\.\d\d)\d+", r"\1", svg)
        svg = svg.replace(' " /> <path d="M', " M")  # the strokes of a letter are one path
        svg = re.sub(r"L(\S+ \S+) M\1 L", r"L\1 L", svg)
        return svg.replace("/> <", "/>\n<").replace("</g> <", "</g>\n<").replace("> <g", ">\n<g") + "\n"


def table(heading):
    """The rows of the README's table below a heading."""
    text = (HARDWARE / "README.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


class Board(unittest.TestCase):
    def test_the_electrical_rules_hold(self):
        with Project() as project:
            status, report = project.violations()
            self.assertEqual(status, 0, report)

    def test_a_missing_wire_is_found(self):
        with Project() as project:
            sheet = project.folder / "board.kicad_sch"
            text = sheet.read_text()
            wires = re.findall(r"\t\(wire .*\n", text)
            self.assertGreater(len(wires), 40)
            for wire in wires[:1] + wires[-1:]:
                sheet.write_text(text.replace(wire, ""))
                self.assertNotEqual(project.violations()[0], 0, wire)

    def test_the_nets_are_those_of_the_wiring_table(self):
        dip = {port.split("/")[0]: number for number, port, *_ in table("The controller's pins")}
        with Project() as project:
            nets = project.nets()
        def net(pin):
            found, = (net for net in nets if pin in net)
            return found
        def across(pin, kind):
            """The pins on the other side of the one part of this kind (R, C, …) that hangs on a pin's net."""
            part, = (other.split(".") for other in net(pin) if other.startswith(kind))
            return net(f"{part[0]}.{3 - int(part[1])}")
        lines = 0
        for line, pi, through, to, *_ in table("Wiring"):
            header, port = re.search(r"header (\d+)$", pi), re.search(r"\bP[AB]\d\b", to)
            if header and port:
                self.assertEqual(through, "10 kΩ")
                self.assertIn(f"U1.{dip[port[0]]}", across(f"J1.{header[1]}", "R"), line)
                lines += 1
        self.assertEqual(lines, 6)
        ground, volts_3, volts_5 = net("J1.6"), net("J1.1"), net("J1.2")
        self.assertLessEqual({"U1.14", "Q1.1", "Q2.1", "C1.2", "R8.2", "J4.3"}, ground)
        self.assertLessEqual({"U1.1", "C1.1", "R7.1", "R10.1"}, volts_3)
        self.assertLessEqual({"J2.1", "J3.1", "J4.2", "D2.1"}, volts_5)
        self.assertIn("Q2.2", across("J1.29", "R"), "the fan's transistor")
        self.assertEqual(net("Q2.3"), {"Q2.3", "J2.2", "D2.2"})
        self.assertIn("Q1.2", across(f"U1.{dip['PA7']}", "R"), "the IR panel's transistor")
        self.assertLessEqual({"Q1.3", "J3.2", "D1.1"}, net("Q1.3"))
        self.assertLessEqual({"R7.2", "R8.1"}, net(f"U1.{dip['PA3']}"), "brighter is a higher voltage")
        self.assertIn("J4.1", net(f"U1.{dip['PA5']}"))

    def test_the_picture_is_of_this_schematic(self):
        with Project() as project:
            self.assertEqual((HARDWARE / "board.svg").read_text(), project.picture(), "stale: tests/board/run --export")


if __name__ == "__main__":
    if sys.argv[1:] == ["--export"]:
        with Project() as project:
            (HARDWARE / "board.svg").write_text(project.picture())
        sys.exit()
    done = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(Board))
    failed = len(done.failures) + len(done.errors)
    print(f"{done.testsRun - failed} passed, {failed} failed")
    sys.exit(failed > 0)
