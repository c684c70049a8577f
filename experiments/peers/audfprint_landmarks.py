"""audfprint itself (Dan Ellis, MIT licence): the peer of `bench landmark`.

Its analysis, hash table and matching, on one core: as the package audfprint2 has them (`pip install audfprint2`), which
is the faster of the two, or with --original DIR the program itself (github.com/dpwe/audfprint in DIR). Sound comes as files of raw float samples at 11,025 Hz, so that decoding is nobody's. It is told in lines, and answers each
with one JSON line:

  new           an empty table
  index FILE    analyses a track and stores it; the seconds that took, and its number of landmarks
  query FILE    analyses a query, with shifts, and looks it up; the seconds of both, the track found and the count
"""

import argparse
import importlib.metadata
import json
import sys
import time

import numpy as np

RATE = 11025


def modules(original):
    """Its analysis, hash table and matching; what they are called."""
    if original:
        sys.path.insert(0, original)
        import audfprint_analyze
        import audfprint_match
        import hash_table

        return audfprint_analyze, hash_table, audfprint_match, "audfprint"
    from audfprint2.core import analyzer, hash_table, matcher

    return analyzer, hash_table, matcher, "audfprint2 " + importlib.metadata.version("audfprint2")


def landmarks(analyzer, made, file, shifts):
    """As Analyzer.wavfile2hashes does, but for reading the file."""
    pcm = np.fromfile(file, dtype=np.float32)
    begin = time.perf_counter()
    found = [made.find_peaks(pcm[int(shift / shifts * made.n_hop):], RATE) for shift in range(shifts)]
    pairs = np.concatenate([analyzer.landmarks2hashes(made.peaks2landmarks(peaks)) for peaks in found])
    numbers = np.unique((pairs[:, 0].astype(np.uint64) << 32) + pairs[:, 1].astype(np.uint64))
    unique = np.stack([numbers >> 32, numbers & ((1 << 32) - 1)], axis=1).astype(np.int32)
    return unique, begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--density", type=float, required=True)
    parser.add_argument("--fan-out", type=int, required=True)
    parser.add_argument("--peaks", type=int, required=True)
    parser.add_argument("--shifts", type=int, required=True)
    parser.add_argument("--bucket", type=int, required=True)
    parser.add_argument("--min-count", type=int, required=True)
    parser.add_argument("--original", default="")
    options = parser.parse_args()
    analyzer, hash_table, matcher, name = modules(options.original)
    made = analyzer.Analyzer(density=options.density)
    made.maxpairsperpeak = options.fan_out
    made.maxpksperframe = options.peaks
    matching = matcher.Matcher()
    matching.window = 2
    matching.threshcount = options.min_count
    table = None
    print(json.dumps({"peer": name}), flush=True)
    for line in sys.stdin:
        command, _, file = line.rstrip("\n").partition(" ")
        answer = {}
        if command == "new":
            table = hash_table.HashTable(hashbits=20, depth=options.bucket, maxtime=1 << 14)
        elif command == "index":
            hashes, begin = landmarks(analyzer, made, file, 1)
            table.store(file, hashes)
            answer = {"seconds": time.perf_counter() - begin, "landmarks": len(hashes)}
        elif command == "query":
            hashes, begin = landmarks(analyzer, made, file, options.shifts)
            analysed = time.perf_counter()
            rows = matching.match_hashes(table, hashes)
            done = time.perf_counter()
            answer = {"analysis": analysed - begin, "look_up": done - analysed,
                      "track": table.names[rows[0][0]] if len(rows) else "", "count": int(rows[0][1]) if len(rows) else 0}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
