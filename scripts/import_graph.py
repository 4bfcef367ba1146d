"""Draw docs/imports.svg: the workspace's packages, the layers of each service and of the libraries, and every import.

The graph is read by grimp, which import-linter uses too; the drawing is plain SVG text, the same at every run. An edge
between two services would be drawn in red and end the script with exit code 1: there is none.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "imports.svg"
SERVICES = ("identity", "pricing", "metering", "ledger", "orgs")
LAYERS = (
    ("__main__",),
    ("wiring",),
    ("rpc", "smtp", "consumers", "jobs"),
    ("app",),
    ("store", "adapters"),
    ("domain",),
)
AT_ANY_LAYER = ("settings", "limits", "errors")
LIBRARY_LAYERS = (("cli", "dev"), ("client", "migrate"))
LIBRARIES = ("common", *(name for names in LIBRARY_LAYERS for name in names))

WIDTH, MARGIN, GAP = 1760, 30, 22
COLUMN = (WIDTH - 2 * MARGIN - len(SERVICES) * GAP) // (len(SERVICES) + 1)
TOP, HEAD, BOX, ROW = 90, 34, 26, 62
INK, LINE, RED = "#1c2733", "#5b7083", "#c62828"
FILLS = {"service": "#eef4fb", "layer": "#ffffff", "pure": "#e6f4ea", "base": "#fff6e0", "library": "#f3ecfa"}
FONT = 'font-family="Helvetica, Arial, sans-serif" font-size="12" text-anchor="middle"'
STYLE = (
    ".name{font-size:15px;font-weight:bold}.note,.count{font-size:11px;fill:#4a5a68}"
    ".count,.title,.said{text-anchor:start}.title{font-size:20px;font-weight:bold}.said{font-size:13px}"
)


@dataclass(frozen=True)
class Box:
    """A rectangle with a text in it."""

    x: float
    y: float
    width: float
    height: float
    text: str
    fill: str
    note: str = ""

    @property
    def top(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height

    def svg(self) -> str:
        x, y = self.x + self.width / 2, self.y + self.height / 2
        shift = -6 if self.note else 4
        note = f'<text x="{x:g}" y="{y + 12:g}" class="note">{escape(self.note)}</text>' if self.note else ""
        return (
            f'<rect x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" rx="5"'
            f' fill="{self.fill}" stroke="{LINE}"/><text x="{x:g}" y="{y + shift:g}">{escape(self.text)}</text>{note}'
        )


def part_of(module: str) -> str:
    """Return the box that a module belongs to: `ledger.app`, `cli`, `stubs`; an empty text for what has none."""
    root, *rest = module.split(".")
    name = root.removeprefix("apportion_")
    if root == "apportion":
        return "stubs"
    if not root.startswith("apportion_"):
        return ""
    if name in SERVICES:
        return f"{name}.{rest[0]}" if rest else name
    return name


def edges() -> tuple[set[str], Counter[tuple[str, str]]]:
    """Return every part there is, and how many imports there are from each to each other."""
    packages = [f"apportion_{name}" for name in (*LIBRARIES, *SERVICES)]
    graph = grimp.build_graph(packages[0], *packages[1:], include_external_packages=True, cache_dir=None)
    found: Counter[tuple[str, str]] = Counter()
    for importer in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            pair = part_of(importer), part_of(imported)
            if all(pair) and pair[0] != pair[1]:
                found[pair] += len(graph.get_import_details(importer=importer, imported=imported)) or 1
    return {part_of(module) for module in graph.modules} - {""}, found


def across(found: Counter[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the imports that lead from one service into another."""
    pairs = [(a, b) for a, b in found if a.split(".")[0] in SERVICES and b.split(".")[0] in SERVICES]
    return sorted((a, b) for a, b in pairs if a.split(".")[0] != b.split(".")[0])


def service_boxes(parts: set[str]) -> tuple[dict[str, Box], list[Box], float]:
    """Return the boxes of the layers by part, the frames of the services and libraries, and where these end."""
    layers: dict[str, Box] = {}
    frames: list[Box] = []
    height = HEAD + len(LAYERS) * ROW + BOX + 14
    for column, service in enumerate(SERVICES):
        left = MARGIN + column * (COLUMN + GAP)
        frames.append(Box(left, TOP, COLUMN, height, "", FILLS["service"]))
        for row, names in enumerate((*LAYERS, AT_ANY_LAYER)):
            found = [name for name in names if f"{service}.{name}" in parts]
            for name, box in _row(left, row, found).items():
                layers[f"{service}.{name}"] = box
    left = MARGIN + len(SERVICES) * (COLUMN + GAP)
    frames.append(Box(left, TOP, COLUMN, height, "", FILLS["library"]))
    for row, names in zip((1, 3), LIBRARY_LAYERS, strict=True):
        layers |= _row(left, row, list(names))
    return layers, frames, TOP + height


def _row(left: float, row: int, names: list[str]) -> dict[str, Box]:
    """Return boxes side by side in a column, each as wide as its name needs."""
    shares = [len(name) + 3 for name in names]
    boxes, x = {}, left + 10.0
    for name, share in zip(names, shares, strict=True):
        width = (COLUMN - 20 - (len(names) - 1) * 6) * share / sum(shares)
        fill = FILLS["pure"] if name == "domain" else FILLS["layer"]
        boxes[name] = Box(round(x, 1), TOP + HEAD + row * ROW, round(width, 1), BOX, name, fill)
        x += width + 6
    return boxes


def _thickness(count: int) -> float:
    return 1 + min(count, 40) / 20


def arrow(start: tuple[float, float], end: tuple[float, float], colour: str, *, count: int = 0) -> str:
    """Return a line with a head; the more imports it stands for, the thicker."""
    return (
        f'<line x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}" stroke="{colour}"'
        f' stroke-width="{_thickness(count):.2f}" marker-end="url(#{"red" if colour == RED else "head"})"/>'
    )


def draw(parts: set[str], found: Counter[tuple[str, str]]) -> str:
    """Return the whole picture."""
    layers, frames, end = service_boxes(parts)
    base = end + 90
    wide = WIDTH - 2 * MARGIN
    common = Box(MARGIN, base, wide, 54, "libs/common: what all share", FILLS["base"], _common_note(found))
    stubs = Box(MARGIN, base + 120, wide, 40, "proto/gen: apportion, the generated stubs", FILLS["layer"])
    body = [*_frames(frames), *_layer_arrows(found, layers), *(box.svg() for _, box in sorted(layers.items()))]
    for name, frame in zip((*SERVICES, "libraries"), frames, strict=True):
        names = LIBRARIES[1:] if name == "libraries" else (name,)
        to = {target: sum(_count(found, one, target) for one in names) for target in ("common", "stubs")}
        x = frame.x + 30
        body.append(arrow((x, end), (x, base - 4), LINE, count=to["common"]))
        body.append(_label(x + 10, end + 24, f"{to['common']} imports of common"))
        body.append(_label(x + 10, end + 42, f"{to['stubs']} of the stubs"))
    count = found["common", "stubs"]
    body += [common.svg(), stubs.svg(), arrow(common.bottom, (common.bottom[0], stubs.y - 4), LINE, count=count)]
    body.append(_label(common.bottom[0] + 8, base + 92, f"{count} imports"))
    crossing = across(found)
    body += [arrow(layers[a].bottom, layers[b].top, RED, count=20) for a, b in crossing if a in layers and b in layers]
    of_services = sum(n for (a, b), n in found.items() if a in LIBRARIES and b.split(".")[0] in SERVICES)
    said = (
        f"Drawn from the code: imports go downwards only, {len(crossing)} lead from one service into another, and"
        f" {of_services} from a library into a service. Green: pure rules, without database, wire and clock."
    )
    return _page(base + 190, said, body)


def _count(found: Counter[tuple[str, str]], service: str, target: str) -> int:
    return sum(n for (a, b), n in found.items() if a.split(".")[0] == service and b == target)


def _label(x: float, y: float, text: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="count">{escape(text)}</text>'


def _frames(frames: list[Box]) -> list[str]:
    return [
        f'{frame.svg()}<text x="{frame.top[0]:g}" y="{TOP + 22}" class="name">{name}</text>'
        for name, frame in zip((*SERVICES, "libraries"), frames, strict=True)
    ]


def _page(height: float, said: str, body: list[str]) -> str:
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        f' markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
        for name, colour in (("head", LINE), ("red", RED))
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" {FONT} fill="{INK}">',
            f"<defs>{heads}</defs>",
            f"<style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>',
            f'<text x="{MARGIN}" y="40" class="title">Who imports whom</text>',
            f'<text x="{MARGIN}" y="64" class="said">{escape(said)}</text>',
            *body,
            "</svg>",
            "",
        ]
    )


def _common_note(found: Counter[tuple[str, str]]) -> str:
    up = sum(n for (a, b), n in found.items() if a == "common" and (b in LIBRARIES or b.split(".")[0] in SERVICES))
    return f"settings, clock, ids, money, errors | grpc, db, bus, lanes, telemetry, run | {up} imports upwards"


def _layer_arrows(found: Counter[tuple[str, str]], layers: dict[str, Box]) -> list[str]:
    """Return the imports between the layers of one service, without what every layer may use: it would hide the rest.

    An arrow past a layer runs behind its boxes, a little to the side.
    """
    drawn = []
    for (a, b), count in sorted(found.items()):
        if a not in layers or b not in layers or not _in_one_frame(a, b):
            continue
        if {a.rpartition(".")[2], b.rpartition(".")[2]} & set(AT_ANY_LAYER):
            continue
        start, end = layers[a], layers[b]
        if a in LIBRARIES:
            drawn.append(arrow(start.bottom, end.top, LINE if start.y < end.y else RED, count=count))
            continue
        narrow = min(start, end, key=lambda box: box.width)
        x = narrow.top[0] + (12 if end.y - start.y > ROW else 0)
        if start.y < end.y:
            drawn.append(arrow((x, start.bottom[1]), (x, end.y), LINE, count=count))
        else:
            drawn.append(arrow(start.top, end.bottom, RED, count=20))
    return drawn


def _in_one_frame(a: str, b: str) -> bool:
    return {a, b} <= set(LIBRARIES) or a.split(".")[0] == b.split(".")[0]


def main() -> int:
    parts, found = edges()
    OUT.write_text(draw(parts, found), encoding="utf-8")
    for a, b in across(found):
        print(f"{a} imports {b}: services never import one another")
    return 1 if across(found) else 0


if __name__ == "__main__":
    sys.exit(main())
