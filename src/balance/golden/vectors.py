"""Which backend gets which key, computed apart from the program. Its output is kept in vectors.txt:

    pip install xxhash && python3 vectors.py > vectors.txt

Written from the descriptions in the module docs of consistent_hash, maglev and rendezvous, with the plainest code that does it.
"""

import hashlib
import math
import struct

import xxhash

M64 = (1 << 64) - 1


def mix(key, other):
    x = key ^ other
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & M64
    return x ^ (x >> 31)


def identity(name):
    return xxhash.xxh3_64_intdigest(name.encode())


def ring(names, weights):
    """libketama's points, 40 sums of 4 points for each unit of weight."""
    divisor = math.gcd(*weights)
    points = []
    for at in sorted(range(len(names)), key=lambda at: identity(names[at])):
        for number in range(40 * weights[at] // divisor):
            digest = hashlib.md5(f"{names[at]}-{number}".encode()).digest()
            points += [(point, at) for point in struct.unpack("<4I", digest)]
    points.sort(key=lambda point: point[0])

    def find(key):
        return next((at for point, at in points if point >= key >> 32), points[0][1])

    return find


def maglev(names, weights):
    size = 65537
    table = [None] * size
    order = sorted((at for at in range(len(names)) if weights[at]), key=lambda at: identity(names[at]))
    seed = {at: struct.pack("<Q", identity(names[at])) for at in order}
    walk = {at: xxhash.xxh3_64_intdigest(seed[at], 0) % size for at in order}
    skip = {at: xxhash.xxh3_64_intdigest(seed[at], 1) % (size - 1) + 1 for at in order}
    taken = {at: 0 for at in order}
    for _ in range(size):
        # Whoever has the fewest slots for its weight; `min` takes the first among equals. Exact: 1 to 5 divide 60.
        at = min(order, key=lambda at: taken[at] * 60 // weights[at])
        while table[walk[at]] is not None:
            walk[at] = (walk[at] + skip[at]) % size
        table[walk[at]] = at
        taken[at] += 1
    return lambda key: table[key % size]


def rendezvous(names, weights):
    def score(key, at):
        u = ((mix(key, identity(names[at])) >> 12) + 0.5) / 2**52
        return -weights[at] / math.log(u)

    return lambda key: max((at for at in range(len(names)) if weights[at]), key=lambda at: score(key, at))


print("# Made by vectors.py. Algorithm, weights of 10.0.0.1:80 and so on, key in hexadecimal, index of the backend.")
for weights in [[1, 1, 1], [1] * 7, [3, 1], [4, 2, 0, 5, 1], [2, 2, 4]]:
    names = [f"10.0.0.{at + 1}:80" for at in range(len(weights))]
    for word, make in [("consistent_hash", ring), ("maglev", maglev), ("rendezvous", rendezvous), ("ip_hash", rendezvous)]:
        find = make(names, weights)
        for n in range(16):
            key = xxhash.xxh3_64_intdigest(f"/item/{n}".encode())
            print(word, ",".join(map(str, weights)), f"{key:016x}", find(key))
