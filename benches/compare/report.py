"""From results to a Markdown report and its plots."""

import math
import statistics

from scenarios import BACKEND_COUNTS, MEASURES, ROUTE_COUNTS, SCENARIOS

US = "tidegate"
COLOURS = {"tidegate": "#0b6e99", "nginx": "#3a9d3a", "haproxy": "#c0504d", "varnish": "#8064a2", "caddy": "#d98a1f", "trafficserver": "#7f7f7f"}
NAMES = {"tidegate": "Tidegate", "nginx": "nginx", "haproxy": "HAProxy", "varnish": "Varnish", "caddy": "Caddy", "trafficserver": "Traffic Server"}


def files(results):
    """Name and text of all that is written."""
    plots = {name: text for name, text in (("cost.svg", cost_plot(results)), ("latency.svg", latency_plot(results)),
                                           ("scale.svg", scale_plot(results))) if text}
    return {"report.md": markdown(results, plots)} | plots


def figure(value):
    """Three digits that count."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def median(rounds, key):
    values = [one[key] for one in rounds if one.get(key) is not None]
    return statistics.median(values) if values else None


def scores(results, name):
    """Median, lowest and highest of each peer that has any."""
    key = MEASURES[SCENARIOS[name].measure].key
    found = {}
    for peer, seen in results["scenarios"][name].items():
        values = [one[key] for one in seen["rounds"]]
        if values:
            found[peer] = statistics.median(values), min(values), max(values)
    return found


def against(results, name, peer):
    """Tidegate's figure as a multiple of the peer's; above 1 is more, whichever is better."""
    found = scores(results, name)
    return found[US][0] / found[peer][0] if US in found and peer in found else None


def summary(results):
    """A row for each scenario, a column for each peer: median, half the range, and Tidegate's figure as a multiple of it."""
    everyone = list(results["peers"])
    lines = ["| | unit | " + " | ".join(NAMES[peer] for peer in everyone) + " |", "|---|---|" + "---:|" * len(everyone)]
    for name in results["scenarios"]:
        scenario, found = SCENARIOS[name], scores(results, name)
        measure = MEASURES[scenario.measure]
        cells = []
        for peer in everyone:
            if peer not in found:
                cells.append("-")
                continue
            middle, low, high = found[peer]
            spread = f" ±{(high - low) / 2 / middle:.0%}" if high > low else ""
            ratio = f" ({against(results, name, peer):.2f})" if peer != US and US in found else ""
            cells.append(f"{figure(middle)}{spread}{ratio}")
        better = "" if measure.lower_is_better else ", more is better"
        lines.append(f"| {scenario.title} | {measure.unit}{better} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def markdown(results, plots):
    versions = ", ".join(f"{NAMES[peer]} {about['version']}" for peer, about in results["peers"].items())
    remarks = [f"- {NAMES[peer]}: {about['remark']}." for peer, about in results["peers"].items() if about["remark"]]
    text = [
        "# Tidegate beside other proxies", "",
        f"Made by `{results['command']}` on {results['date']}, of {results['commit']}.", "",
        f"Machine: {results['machine']}.", "",
        f"Programs: {versions}.", "",
        f"{results['rounds']} interleaved rounds of {results['seconds']} s. One worker on a core of its own where nothing else is said; load "
        "generator and backends on another. Every round was checked: answers 200 and whole, and from the backends or from the cache as "
        "they should be, by the backends' own count.", "",
        *remarks, "" if remarks else None,
        "## Summary", "",
        "Medians with half the range; in brackets Tidegate's as a multiple of it.", "",
        summary(results),
        *(f"![{name.removesuffix('.svg')}]({name})\n" for name in plots),
        *(detail(results, name) for name in results["scenarios"]),
    ]
    return "\n".join(line for line in text if line is not None)


def detail(results, name):
    scenario = SCENARIOS[name]
    measure = MEASURES[scenario.measure]
    found = scores(results, name)
    lines = [f"## {name}: {scenario.title}", "",
             f"| | {measure.unit} | lowest to highest | Tidegate ÷ it | CPU µs per request | requests/s | busy | p50 µs | p99 µs | memory MiB | rounds |",
             "|---|" + "---:|" * 10]
    for peer, seen in results["scenarios"][name].items():
        rounds = seen["rounds"]
        kept = f"{len(rounds)} of {len(rounds) + len(seen['thrown_away'])}"
        if peer not in found:
            lines.append(f"| {NAMES[peer]} |" + " - |" * 9 + f" {kept} |")
            continue
        middle, low, high = found[peer]
        cells = [figure(middle), f"{figure(low)} to {figure(high)}", figure(against(results, name, peer)),
                 *(figure(median(rounds, key)) for key in ("cpu_us", "rate", "busy", "p50_us", "p99_us")),
                 figure(median(rounds, "memory") / (1 << 20)), kept]
        lines.append(f"| {NAMES[peer]} | " + " | ".join(cells) + " |")
    for peer, seen in results["scenarios"][name].items():
        for why in sorted(set(seen["thrown_away"])):
            lines.append(f"\nThrown away of {NAMES[peer]}: {' '.join(why.split())[:300]}.")
    return "\n".join(lines) + "\n"


# Plots, written as SVG by hand: they need no library, and their diffs can be read.


def svg(width, height, shapes):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">\n'
            f'<rect width="{width}" height="{height}" fill="white"/>\n' + "\n".join(shapes) + "\n</svg>\n")


def text(x, y, said, anchor="start", **more):
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    said = str(said).replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{said}</text>'


def line(x1, y1, x2, y2, colour="#ccc", width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def legend(everyone, x, y):
    shapes = []
    for peer in everyone:
        shapes += [f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{COLOURS[peer]}"/>', text(x + 14, y, NAMES[peer])]
        x += 30 + 8 * len(NAMES[peer])
    return shapes


def cost_plot(results):
    """Bars: what each peer costs, as a multiple of Tidegate."""
    names = [name for name in results["scenarios"] if US in (found := scores(results, name)) and len(found) > 1]
    if not names:
        return None
    left, width, bar, right = 170, 900, 11, 60
    cost = {}
    for name in names:
        lower = MEASURES[SCENARIOS[name].measure].lower_is_better
        cost[name] = {peer: (1 / ratio if lower else ratio)
                      for peer in scores(results, name) if (ratio := against(results, name, peer)) is not None}
    # One that costs ten times as much would leave no room for the others.
    top = min(6, max(max(costs.values()) for costs in cost.values()))
    scale = (width - left - right) / top
    shapes = [text(10, 20, "Cost as a multiple of Tidegate's (less is better)", font_weight="bold"), *legend(results["peers"], left, 40)]
    y = 60
    body = []
    for name in names:
        body.append(text(left - 8, y + bar * len(cost[name]) / 2 + 4, name, "end"))
        for peer, value in cost[name].items():
            drawn = min(value, top) * scale
            body += [f'<rect x="{left}" y="{y}" width="{drawn:.1f}" height="{bar - 1}" fill="{COLOURS[peer]}"/>',
                     text(left + drawn + 4, y + bar - 2, f"{value:.2f}", font_size=10)]
            y += bar
        y += 10
    grid = [line(left + n * scale, 52, left + n * scale, y, "#0b6e99" if n == 1 else "#ddd") for n in range(int(top) + 1)]
    return svg(width, y + 10, shapes + grid + body)


def latency_plot(results):
    """Curves: the time by which so many of the requests had their answer, at a constant rate."""
    names = [name for name in results["scenarios"] if SCENARIOS[name].load == "pace" and scores(results, name)]
    if not names:
        return None
    left, wide, tall, gap = 70, 760, 240, 70
    shapes = []
    for at, name in enumerate(names):
        top = 40 + at * (tall + gap)
        curves = {peer: curve(seen["rounds"]) for peer, seen in results["scenarios"][name].items() if seen["rounds"]}
        # Nines on the horizontal axis, as many as a run can show; decades of time on the vertical.
        shares = [share for share, _ in next(iter(curves.values())) if 0.25 <= share < 1]
        high = math.log10(max(time for points in curves.values() for share, time in points if share in shares)) + 0.1
        low = math.log10(max(1, min(time for points in curves.values() for share, time in points if share in shares))) - 0.1

        def x(share):
            return left + -math.log10(1 - share) / -math.log10(1 - shares[-1]) * wide

        def y(time):
            return top + (high - math.log10(max(time, 1))) / (high - low) * tall

        shapes.append(text(10, top - 22, f"{name}: {SCENARIOS[name].title}; µs to the answer by percentile", font_weight="bold"))
        shapes += legend(curves, left, top - 6)
        for share in shares:
            shapes += [line(x(share), top, x(share), top + tall, "#eee"), text(x(share), top + tall + 15, f"{share * 100:g} %", "middle", font_size=10)]
        for power in range(math.ceil(low), math.floor(high) + 1):
            shapes += [line(left, y(10 ** power), left + wide, y(10 ** power)), text(left - 6, y(10 ** power) + 4, f"{10 ** power:,}", "end")]
        for peer, points in curves.items():
            path = " ".join(f"{x(share):.1f},{y(time):.1f}" for share, time in points if share in shares)
            shapes.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[peer]}" stroke-width="2"/>')
    return svg(left + wide + 40, 40 + len(names) * (tall + gap), shapes)


def curve(rounds):
    """The median of the rounds, share by share."""
    return [(share, statistics.median(one["curve"][at][1] for one in rounds)) for at, (share, _) in enumerate(rounds[0]["curve"])]


def scale_plot(results):
    """Lines: what a request costs with more backends, and with more routes."""
    axes = [("backends", [n for n in BACKEND_COUNTS if f"backends-{n}" in results["scenarios"]]),
            ("routes", [n for n in ROUTE_COUNTS if f"routes-{n}" in results["scenarios"]])]
    axes = [(word, counts) for word, counts in axes if len(counts) > 1]
    if not axes:
        return None
    left, wide, tall, gap = 70, 330, 240, 110
    shapes = [text(10, 20, "CPU µs per request", font_weight="bold"), *legend(results["peers"], left, 40)]
    for at, (word, counts) in enumerate(axes):
        start = left + at * (wide + gap)
        found = {n: scores(results, f"{word}-{n}") for n in counts}
        top = max((score[0] for by_peer in found.values() for score in by_peer.values()), default=1) * 1.1
        steps = math.log10(counts[-1] / counts[0])

        def x(n):
            return start + math.log10(n / counts[0]) / steps * wide

        def y(value):
            return 60 + (1 - value / top) * tall

        for part in range(5):
            shapes += [line(start, y(top * part / 4), start + wide, y(top * part / 4)), text(start - 6, y(top * part / 4) + 4, figure(top * part / 4), "end")]
        shapes += [text(x(n), 60 + tall + 16, f"{n:,}", "middle") for n in counts]
        shapes.append(text(start + wide / 2, 60 + tall + 34, word, "middle"))
        for peer in results["peers"]:
            points = " ".join(f"{x(n):.1f},{y(found[n][peer][0]):.1f}" for n in counts if peer in found[n])
            shapes.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[peer]}" stroke-width="2"/>')
    return svg(left + 2 * (wide + gap), 60 + tall + 50, shapes)
