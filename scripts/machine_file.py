# SPDX-License-Identifier: Apache-2.0
"""A machine file for `polyphase plan` from what tests/bench/machine_bench.cpp measures (scripts/bench --machine-file)."""
import os
import pathlib
import platform
import statistics
import tempfile
import time

RANKS = (1, 2, 4)
PASSES = 3  # through all measurements: what else the machine does for a while spoils one of them
STORED_BYTES = 256 << 20
FIT_BYTES = 4 << 20  # gradients travel in pieces of this size


def memory_gib():
    """What all ranks of this machine may use together: nine tenths of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = pathlib.Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and limit.read_text().strip().isdigit():
        total = min(total, int(limit.read_text()))
    return 0.9 * total / 2**30


def storage_gb_s(folder):
    block = os.urandom(16 << 20)
    with tempfile.TemporaryFile(dir=folder) as file:
        begin = time.monotonic()
        for _ in range(STORED_BYTES // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return 1e-9 * STORED_BYTES / (time.monotonic() - begin)


def link_of(ranks, collectives):
    """Latency and bandwidth of a message that give the measured time of a small sum and of one of FIT_BYTES: a sum sends halves,
    quarters … to partners, and back."""
    stages = 2 * (ranks.bit_length() - 1)
    latency = collectives[0]["sum_us"] / stages
    row = next(row for row in collectives if row["bytes"] == FIT_BYTES)
    sent = 2 * row["bytes"] * (1 - 1 / ranks)
    return latency, 1e-3 * sent / max(row["sum_us"] - stages * latency, 1e-3)


def number(value):
    return f"{value:.4g}"


def rates_text(result, num_cores):
    ranks = result["ranks"]
    lines = [f"  {ranks}:"]
    if ranks * result["threads"] > num_cores:
        lines[0] += f"  # {ranks * result['threads']} threads share {num_cores} cores"
    lines.append(f"    threads: {result['threads']}")
    lines.append(f"    memory_gib: {number(memory_gib() / ranks)}")
    for key in ("products_f32", "products_bf16"):
        table = ", ".join(f"{size}: {number(rate)}" for size, rate in sorted(result[key].items(), key=lambda item: int(item[0])))
        lines.append(f"    {key}: {{{table}}}")
    for key in ("attention_f32", "attention_bf16", "memory_gb_s", "row_f32_gb_s", "row_bf16_gb_s", "kernel_us"):
        lines.append(f"    {key}: {number(result[key])}")
    if ranks > 1:
        latency, bandwidth = link_of(ranks, result["collectives"])
        lines.append(f"    link: {{latency_us: {number(latency)}, gb_s: {number(bandwidth)}}}")
        # The cores that copy are those that compute.
        lines.append("    overlap: 0")
    return "\n".join(lines)


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def print_collectives(results):
    """The cost of each collective by size."""
    several = [result for result in results if result["collectives"]]
    if not several:
        return
    print("\nmicroseconds of a sum of float32 that all ranks get, of one that each rank gets an equal part of, and of an exchange of equal "
          "parts, by bytes of the whole array")
    print("  " + f"{'bytes':>12}" + "".join(f"{'sum, %d ranks' % r['ranks']:>16}{'to owners':>12}{'exchange':>12}" for r in several))
    for rows in zip(*(result["collectives"] for result in several)):
        print("  " + f"{rows[0]['bytes']:>12,}" + "".join(
            f"{row['sum_us']:>16,.0f}{row['owned_sum_us']:>12,.0f}{row['exchange_us']:>12,.0f}" for row in rows))


def median_of(results):
    """The median of each number of results that are built alike."""
    first = results[0]
    if isinstance(first, dict):
        return {key: median_of([result[key] for result in results]) for key in first}
    if isinstance(first, list):
        return [median_of(list(values)) for values in zip(*results)]
    return statistics.median(results)


def measure_often(run, layouts):
    """Medians of what run(ranks, threads) gives, which are machine_bench's lines, for each layout."""
    passes = [[run(*layout) for layout in layouts] for _ in range(PASSES)]
    return [median_of(list(results)) for results in zip(*passes)]


def write_machine_file(path, run):
    """Measures with run(ranks, threads) and writes the file."""
    num_cores = len(os.sched_getaffinity(0))
    results = measure_often(run, [(ranks, max(1, num_cores // ranks)) for ranks in RANKS])
    print_collectives(results)
    text = [
        "# SPDX-License-Identifier: Apache-2.0",
        "# Measured by scripts/bench --machine-file: rates of one rank while so many ranks work at once.",
        f"name: \"{num_cores} cores of {processor()}\"",
        f"ranks_a_node: {num_cores}",
        f"storage_gb_s: {number(storage_gb_s(pathlib.Path(path).resolve().parent))}",
        "rates:",
    ] + [rates_text(result, num_cores) for result in results]
    pathlib.Path(path).write_text("\n".join(text) + "\n")
    print(f"\nwrote {path}")
