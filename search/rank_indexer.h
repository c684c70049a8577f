// An index is filled by several ranks, round by round: of the next files each prepares its share, consecutive ones, and
// writes their rows into segment files of its own; rank 0 decides what becomes of them, in the order of the files, and
// commits all at once. The tracks, their order and their fingerprints are those of one process, but for what depends on
// how rows are divided among segment files: the scale of `ScaleMode::global`, and which tracks move behind the new ones
// when one in their segment is replaced. A round takes about as long as one process waits between commits: that is what
// is lost, and made again by the next run, where a rank fails or is killed; until its commit the index is as it was.
#pragma once

#include <filesystem>
#include <vector>

#include "kernels/communicator.h"
#include "search/index_writer.h"
#include "search/indexer.h"

namespace earmark::search {

/// As add_audio() by one process, into index `folder`, which all ranks see; all call it together. Rank 0 has the
/// `writer`, the others none; its `sources` count. Returns the report at rank 0, and at the others an empty one which
/// knows whether it was interrupted. The first round has `window` files for each rank, later ones as many as take about
/// `commit_every_s`. Throws Error where this or another rank fails, hangs or is gone: earlier rounds are committed
/// then.
IndexReport add_audio(IndexWriter* writer, const std::filesystem::path& folder, const std::vector<AudioSource>& sources,
                      const Embedder& embedder, const IndexerOptions& options, Communicator& ranks);

}  // namespace earmark::search
