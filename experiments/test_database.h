// The music to search in and the queries about it: an index of it by some model, and its tracks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/audio_files.h"
#include "experiments/judge.h"
#include "experiments/query_maker.h"
#include "experiments/say.h"
#include "nn/fingerprinter.h"
#include "search/index_store.h"
#include "search/indexer.h"

namespace earmark::experiments {

/// Where the music to search in lies: a folder or list, or a split of FMA (data/fma.h).
struct MusicToSearch {
  std::filesystem::path folder;
  std::filesystem::path fma;
  std::string fma_subset = "small";
  std::string fma_split = "test";
};

/// Its sound files. Throws Error where nothing is named, or there are none.
std::vector<search::AudioSource> database_sources(const MusicToSearch& music);

/// `sources` in an index in `folder`, fingerprinted every `hop_frames` frames (0: the model's hop) by the model of
/// `model_file`; what is there already is kept. `say` gets a line on what was done.
void index_database(const std::filesystem::path& folder, const std::vector<search::AudioSource>& sources,
                    const std::filesystem::path& model_file, const nn::Fingerprinter& fingerprinter, int hop_frames,
                    bool progress, const Say& say);

/// What the index can find is what queries are made of.
std::vector<data::AudioFile> tracks_of(const search::IndexStore& store);

/// The queries in `given`, or, where that is empty, some made of the store's tracks in `folder`, or left there by an
/// earlier run. Throws Error where there are none.
QuerySet open_queries(const std::filesystem::path& given, const std::filesystem::path& folder,
                      const QueryOptions& options, const search::IndexStore& store, const Say& say);

/// Where the store's tracks lie.
FindTrack track_finder(const search::IndexStore& store);

/// Those of `wanted` that any query has: an outside set may be shorter than the configuration's lengths.
std::vector<double> usable_lengths(const QuerySet& set, const std::vector<double>& wanted);

}  // namespace earmark::experiments
