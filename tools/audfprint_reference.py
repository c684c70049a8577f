#!/usr/bin/env python3
"""What audfprint itself (Dan Ellis, MIT licence) finds in a made-up sound: an independent check of search/landmarks.

  python3 -m venv VENV && VENV/bin/pip install audfprint2==0.1.2
  VENV/bin/python tools/audfprint_reference.py > tests/golden/landmark.json

The package audfprint2 is audfprint for Python 3, its analysis, hash table and matching unchanged; nothing of it is
part of this project. The sound is made of whole numbers only, so that tests/landmark_reference.h makes the very
same samples: notes (triangle waves that fade) over noise.
"""

import json

import numpy as np
from audfprint2.core import analyzer, hash_table, matcher

RATE = 11025
MASK = (1 << 32) - 1
SETTINGS = {
    "default": {"density": 20.0, "maxpairsperpeak": 3, "maxpksperframe": 5},
    "dense": {"density": 70.0, "maxpairsperpeak": 8, "maxpksperframe": 5},
    "best": {"density": 100.0, "maxpairsperpeak": 8, "maxpksperframe": 10},
}


class Numbers:
    """A linear congruential generator of 32 bits; the upper 16 are used."""

    def __init__(self, seed):
        self.state = seed & MASK

    def next(self):
        self.state = (self.state * 1664525 + 1013904223) & MASK
        return self.state >> 16


def sound(seed, samples):
    """16-bit samples."""
    numbers = Numbers(seed)
    mixed = np.zeros(samples, dtype=np.int64)
    begin = 0
    while begin < samples:
        step = (80 + numbers.next() % 3800) * (MASK // RATE)
        level = (500 + numbers.next() % 4000) << 8
        fade = 7 + numbers.next() % 4
        phase = 0
        for i in range(begin, min(samples, begin + 6000)):
            triangle = abs((phase >> 16) - 32768) - 16384
            mixed[i] += (level >> 8) * triangle >> 14
            level -= level >> fade
            phase = (phase + step) & MASK
        begin += 40 + numbers.next() % 500
    for i in range(samples):
        mixed[i] += (numbers.next() >> 8) - 128
    return np.clip(mixed, -32768, 32767)


def as_float(samples):
    return (samples / 32768).astype(np.float32)


def analyse(samples, setting, shifts=1):
    """As Analyzer.wavfile2hashes does, but for the file."""
    made = analyzer.Analyzer(density=setting["density"])
    made.maxpairsperpeak = setting["maxpairsperpeak"]
    made.maxpksperframe = setting["maxpksperframe"]
    pcm = as_float(samples)
    found = [made.find_peaks(pcm[int(shift / shifts * made.n_hop):], RATE) for shift in range(shifts)]
    hashes = np.concatenate([analyzer.landmarks2hashes(made.peaks2landmarks(peaks)) for peaks in found])
    return found[0], sorted({(int(time), int(bits)) for time, bits in hashes})


def packed(pairs):
    """One number for each, as differences: short in JSON."""
    numbers = [time << 20 | bits for time, bits in pairs]
    return [b - a for a, b in zip([0] + numbers, numbers)]


def analysis():
    out = {}
    for name, setting in SETTINGS.items():
        peaks, hashes = analyse(sound(1, 8 * RATE), setting)
        _, shifted = analyse(sound(2, 2 * RATE + 77), setting, shifts=4)
        out[name] = {
            "peaks": packed([(int(col), int(row)) for col, row in peaks]),
            "landmarks": packed(hashes),
            "query_landmarks": packed(shifted),
        }
    return out


def short_sounds():
    """Number of samples: peaks of the shortest sounds there can be."""
    setting = SETTINGS["best"]
    return {str(n): packed([(int(c), int(r)) for c, r in analyse(sound(3, n), setting)[0]])
            for n in (1, 2, 100, 255, 256, 257, 511, 512, 513, 1000)}


def matching():
    """Tracks of 6 s, one more joined from the first two, and queries of 2 s cut from them, some between frames and with
    another sound mixed in."""
    setting = SETTINGS["dense"]
    tracks = [sound(10 + i, 6 * RATE) for i in range(6)]
    tracks.append(np.concatenate([tracks[0][:30000], tracks[1][:40000], tracks[0][:30000]]))
    table = hash_table.HashTable(hashbits=20, depth=500, maxtime=1 << 14)
    for i, track in enumerate(tracks):
        table.store(str(i), np.array(analyse(track, setting)[1]))
    answers = []
    for track, begin, noise in ((0, 100, 0), (1, 256 * 40, 0), (2, 30011, 0), (3, 20000, 1), (4, 17777, 2), (5, 1, 4), (6, 20000, 1)):
        query = tracks[track][begin:begin + 2 * RATE] + noise * sound(99, 2 * RATE)
        hashes = np.array(analyse(np.clip(query, -32768, 32767), setting, shifts=4)[1])
        for min_count in (1, 5):
            made = matcher.Matcher()
            made.window = 2
            made.threshcount = min_count
            rows = made.match_hashes(table, hashes)
            answers.append({
                "track": track, "begin": begin, "noise": noise, "min_count": min_count, "hashes": len(hashes),
                "rows": [[int(x) for x in row[:4]] for row in rows[:5]],
            })
    return answers


if __name__ == "__main__":
    check = sound(1, 8 * RATE)
    print(json.dumps({
        "sum": int(np.sum(check)), "sum_of_squares": int(np.sum(check * check)),
        "analysis": analysis(), "short": short_sounds(), "matching": matching(),
    }, separators=(",", ":")))
