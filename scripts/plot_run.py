#!/usr/bin/env python3
"""Draws the loss of a run as an SVG picture: training loss of each stage, validation loss, the stage switches.

    plot_run.py RUN [-o FILE.svg] [--title TEXT]

RUN is a run folder or its metrics.jsonl. The left panel shows the whole run, the right one its end, where a switch to 4-bit
activations shows. Standard library only; the picture is plain SVG, for any browser.
"""
import argparse
import html
import json
import math
import pathlib
import sys

INK, MUTED, GRID = "#1f2933", "#52606d", "#e4e7eb"
STAGE_LINES = ("#2f6fb0", "#c2571a", "#2e8b57", "#7b4fa3")
STAGE_FILLS = ("#f3f8fd", "#fdf5ee", "#f1faf4", "#f7f3fb")
VALIDATION = "#1f2933"
FONT = "font-family='Helvetica, Arial, sans-serif'"


# ------------------------------------------------------------------------------------------------ reading
class Run:
    """What metrics.jsonl says of a run. A resume repeats steps: the last value counts.

    steps [(step, stage, loss)]; evals [(step, loss)], quantized as staged; switches [step]; modes {stage: mode}
    """

    def __init__(self, path):
        steps, evals, self.modes = {}, {}, {}
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except json.JSONDecodeError:
                    continue      # the last line of a killed run may be torn
                if event.get("event") == "step" and finite(event.get("loss")):
                    steps[event["step"]] = (event["step"], event["stage"], event["loss"])
                    self.modes[event["stage"]] = event["mode"]
                elif event.get("event") == "eval" and event.get("as_staged") and finite(event.get("loss")):
                    evals[event["step"]] = (event["step"], event["loss"])
        self.steps = [steps[s] for s in sorted(steps)]
        self.evals = [evals[s] for s in sorted(evals)]
        self.switches = [before[0] for before, after in zip(self.steps, self.steps[1:]) if before[1] != after[1]]

    def stages(self):
        """[(stage, [(step, loss), …])] in order."""
        groups = []
        for step, stage, loss in self.steps:
            if not groups or groups[-1][0] != stage:
                groups.append((stage, []))
            groups[-1][1].append((step, loss))
        return groups


def finite(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def smooth(points, width):
    """Gaussian mean over `width` steps; only ever within one stage, so that nothing leaks over a switch."""
    result = []
    for x, _ in points:
        near = [(math.exp(-0.5 * ((x - s) / width) ** 2), y) for s, y in points if abs(x - s) < 3 * width]
        result.append((x, sum(w * y for w, y in near) / sum(w for w, _ in near)))
    return result


# ------------------------------------------------------------------------------------------------ drawing
def nice_ticks(low, high, about):
    """Round numbers between low and high, about that many."""
    raw = (high - low) / max(about, 1)
    scale = 10 ** math.floor(math.log10(raw))
    step = next(m * scale for m in (1, 2, 2.5, 5, 10) if m * scale >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)], step


def number(value, step):
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    if step < 1 and round(step * 10 ** digits, 6) % 1:
        digits += 1
    return f"{value:,.{digits}f}"


def text(x, y, content, size=13, anchor="middle", colour=INK, weight="normal", extra=""):
    return (f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' fill='{colour}' font-weight='{weight}' "
            f"{FONT} {extra}>{html.escape(content)}</text>")


class Panel:
    def __init__(self, left, top, width, height, xs, ys):
        self.left, self.top, self.width, self.height = left, top, width, height
        self.xs, self.ys = xs, ys

    def x(self, step):
        return self.left + (step - self.xs[0]) / (self.xs[1] - self.xs[0]) * self.width

    def y(self, loss):
        return self.top + (self.ys[1] - loss) / (self.ys[1] - self.ys[0]) * self.height

    def path(self, points, colour, width, opacity=1.0):
        inside = [(self.x(s), self.y(l)) for s, l in points if self.xs[0] <= s <= self.xs[1]]
        if len(inside) < 2:
            return ""
        d = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in inside)
        return (f"<path d='{d}' fill='none' stroke='{colour}' stroke-width='{width}' stroke-opacity='{opacity}' "
                f"stroke-linejoin='round' clip-path='url(#{self.clip})'/>")

    def draw(self, name, run, width, x_label, y_label):
        self.clip = name
        right, bottom = self.left + self.width, self.top + self.height
        out = [f"<clipPath id='{name}'><rect x='{self.left}' y='{self.top}' width='{self.width}' height='{self.height}'/></clipPath>"]
        groups = run.stages()
        starts = [self.xs[0]] + run.switches + [self.xs[1]]
        for i, (stage, _) in enumerate(groups):
            a, b = max(starts[i], self.xs[0]), min(starts[i + 1], self.xs[1])
            if b > a:
                out.append(f"<rect x='{self.x(a):.1f}' y='{self.top}' width='{self.x(b) - self.x(a):.1f}' height='{self.height}' "
                           f"fill='{STAGE_FILLS[i % len(STAGE_FILLS)]}'/>")
        ticks, step = nice_ticks(*self.ys, self.height / 55)
        for tick in ticks:
            y = self.y(tick)
            out.append(f"<line x1='{self.left}' y1='{y:.1f}' x2='{right}' y2='{y:.1f}' stroke='{GRID}'/>")
            out.append(text(self.left - 8, y + 4, number(tick, step), 12, "end", MUTED))
        ticks, step = nice_ticks(*self.xs, self.width / 110)
        for tick in ticks:
            x = self.x(tick)
            out.append(f"<line x1='{x:.1f}' y1='{bottom}' x2='{x:.1f}' y2='{bottom + 5}' stroke='{MUTED}'/>")
            out.append(text(x, bottom + 20, number(tick, step), 12, colour=MUTED))
        for i, (_, points) in enumerate(groups):
            out.append(self.path(points, STAGE_LINES[i % len(STAGE_LINES)], 1, 0.3))
        for i, (_, points) in enumerate(groups):
            out.append(self.path(smooth(points, width), STAGE_LINES[i % len(STAGE_LINES)], 2.4))
        for switch in run.switches:
            if self.xs[0] <= switch <= self.xs[1]:
                x = self.x(switch)
                out.append(f"<line x1='{x:.1f}' y1='{self.top}' x2='{x:.1f}' y2='{bottom}' stroke='{INK}' stroke-width='1.2' "
                           "stroke-dasharray='5 4'/>")
        for step, loss in run.evals:
            if self.xs[0] <= step <= self.xs[1] and self.ys[0] <= loss <= self.ys[1]:
                out.append(f"<circle cx='{self.x(step):.1f}' cy='{self.y(loss):.1f}' r='3.6' fill='white' stroke='{VALIDATION}' "
                           "stroke-width='1.6'/>")
        out.append(f"<path d='M{self.left},{self.top}V{bottom}H{right}' fill='none' stroke='{MUTED}' stroke-width='1.2'/>")
        out.append(text((self.left + right) / 2, bottom + 42, x_label, 13, colour=MUTED))
        if y_label:
            x, y = self.left - 46, (self.top + bottom) / 2
            out.append(text(x, y, y_label, 13, colour=MUTED, extra=f"transform='rotate(-90 {x:.1f} {y:.1f})'"))
        return out


def padded(values, below=0.06, above=0.06):
    low, high = min(values), max(values)
    room = (high - low) or 0.1
    return low - below * room, high + above * room


def picture(run, title):
    width, height, top, panel_height = 1000, 470, 92, 300
    first, last = run.steps[0][0], run.steps[-1][0]
    spread = max((last - first) / 120, 1)
    losses = [loss for _, _, loss in run.steps] + [loss for _, loss in run.evals]
    whole = Panel(72, top, 500, panel_height, (min(first, 0), last), padded(losses))

    # The end of the run: the last switch in the middle third, or the last third when there is none.
    begin = first + (last - first) * 2 / 3
    if run.switches:
        begin = max(first, run.switches[-1] - 1.5 * (last - run.switches[-1]))
    near = [loss for _, points in run.stages() for step, loss in smooth(points, spread) if step >= begin]
    near += [loss for step, loss in run.evals if step >= begin]
    end = Panel(660, top, 310, panel_height, (begin, last), padded(near, 0.25, 0.25))

    out = [f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}'>",
           f"<rect width='{width}' height='{height}' fill='white'/>", text(24, 34, title, 19, "start", INK, "bold")]
    x = 24.0
    for i, (stage, _) in enumerate(run.stages()):
        label = f"stage {i + 1}: {run.modes[stage]}, training loss"
        out.append(f"<line x1='{x}' y1='57' x2='{x + 22}' y2='57' stroke='{STAGE_LINES[i % len(STAGE_LINES)]}' stroke-width='3'/>")
        out.append(text(x + 28, 61, label, 13, "start", MUTED))
        x += 44 + 6.4 * len(label)
    if run.evals:
        label = f"validation loss (last {run.evals[-1][1]:.3f})"
        out.append(f"<circle cx='{x + 10}' cy='57' r='3.6' fill='white' stroke='{VALIDATION}' stroke-width='1.6'/>")
        out.append(text(x + 22, 61, label, 13, "start", MUTED))
        x += 38 + 6.4 * len(label)
    if run.switches:
        out.append(f"<line x1='{x}' y1='57' x2='{x + 22}' y2='57' stroke='{INK}' stroke-width='1.2' stroke-dasharray='5 4'/>")
        out.append(text(x + 28, 61, "stage switch", 13, "start", MUTED))
    out += whole.draw("whole", run, spread, "step", "loss, nats per token")
    out += end.draw("end", run, spread, "step (the end of the run)", "")
    out.append("</svg>")
    return "\n".join(line for line in out if line) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Draw the loss of a run as an SVG picture.")
    parser.add_argument("run", type=pathlib.Path, help="run folder, or its metrics.jsonl")
    parser.add_argument("-o", "--out", type=pathlib.Path, help="picture (default: RUN/loss.svg)")
    parser.add_argument("--title", help="default: the run's name")
    options = parser.parse_args()
    metrics = options.run / "metrics.jsonl" if options.run.is_dir() else options.run
    try:
        run = Run(metrics)
    except OSError as error:
        print(f"plot_run.py: {error}; RUN is the folder that `a48 train` wrote", file=sys.stderr)
        return 3
    if len(run.steps) < 2:
        print(f"plot_run.py: {metrics} holds {len(run.steps)} training steps; at least 2 are needed", file=sys.stderr)
        return 3
    out = options.out or metrics.parent / "loss.svg"
    out.write_text(picture(run, options.title or f"Loss of {metrics.parent.resolve().name}"), encoding="utf-8")
    print(f"{out}: {len(run.steps)} points of the training loss, {len(run.evals)} of the validation loss, "
          f"{len(run.switches)} stage switch{'' if len(run.switches) == 1 else 'es'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
