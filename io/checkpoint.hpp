// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace polyphase {

// A checkpoint is a folder: one HDF5 file a writer, model.h5 whose virtual datasets show every
// tensor whole, and manifest.json, written last, without which nothing in the folder is trusted
// (io/FORMATS.md). How it comes to be:
//   every writer:  create the folder NAME.tmp, write_checkpoint_part, send its report to rank 0
//   rank 0:        when all reports are there: commit_checkpoint
// HDF5 is entered under one lock of the process; none of these functions knows of ranks or MPI.

// On disk: raised with every change of the format; readers refuse other versions.
inline constexpr std::int64_t kCheckpointFormatVersion = 1;

// What one writer holds of one tensor: all of it, or the rows [begin, begin + local_shape[d]) of
// dimension d. Row-major. A part without elements is allowed and leaves no trace.
struct TensorPart {
  std::string name;  // groups apart by '/': "parameters/layers.0.attention.query.weight"
  std::vector<std::int64_t> global_shape;
  int split_dimension = -1;  // -1: whole
  std::int64_t begin = 0;    // along split_dimension
  std::vector<std::int64_t> local_shape;
  const float* data = nullptr;
};

// What a writer has written, for the manifest.
struct PartReport {
  struct Dataset {
    std::string name;
    std::vector<std::int64_t> global_shape;
    int split_dimension = -1;
    std::int64_t begin = 0;
    std::vector<std::int64_t> local_shape;
    std::int64_t offset = -1;  // of its bytes in the file
    std::string digest;        // XXH3-128 of its bytes, from memory before the write
  };
  int writer = 0;
  std::string file;  // name, without folder
  std::int64_t num_bytes = 0;
  std::string digest;  // of the whole file, likewise
  std::vector<Dataset> datasets;
};

// To and from text, so that ranks can send it. from_text throws DataError.
std::string to_text(const PartReport& report);
PartReport part_report_from_text(const std::string& text);

// "step-000500"; the folder to write into has ".tmp" behind.
std::string checkpoint_name(std::int64_t step);

// What HDF5 laid out for the checkpoint before. Given to the next one, of the same tensors on the
// same ranks, it spares HDF5 all of its work, which costs more than the writing where models are
// small: the files are the same but for the values. Another layout takes its place by itself. Used
// by one thread at a time.
class CheckpointTemplates {
 public:
  CheckpointTemplates();
  ~CheckpointTemplates();
  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// Writes writer-NNNN.h5 into `tmp_folder` (made when missing; the writer's file of an attempt that
// was killed is replaced) and syncs it. Throws SystemError with path, bytes needed and bytes free
// when the disk is full; older checkpoints are never touched.
PartReport write_checkpoint_part(const std::filesystem::path& tmp_folder, int writer,
                                 std::span<const TensorPart> parts, CheckpointTemplates& templates);
PartReport write_checkpoint_part(const std::filesystem::path& tmp_folder, int writer,
                                 std::span<const TensorPart> parts);

// Checks that every tensor is covered exactly once (std::logic_error otherwise), adds model.h5 and
// manifest.json, syncs all and renames the folder. An incomplete folder that stands at
// `final_folder` is replaced.
void commit_checkpoint(const std::filesystem::path& tmp_folder,
                       const std::filesystem::path& final_folder,
                       const std::vector<PartReport>& reports, const nlohmann::json& state,
                       CheckpointTemplates& templates);
void commit_checkpoint(const std::filesystem::path& tmp_folder,
                       const std::filesystem::path& final_folder,
                       const std::vector<PartReport>& reports, const nlohmann::json& state);

struct CheckpointEntry {
  std::filesystem::path folder;
  std::int64_t step = 0;
};

// Complete checkpoints (their manifest is there and whole) in `folder`, by rising step; none when
// there is no folder.
std::vector<CheckpointEntry> find_checkpoints(const std::filesystem::path& folder);

// What is said of checkpoints in `folder` that are not complete and newer than `step`: half
// written, or of a manifest that is damaged.
std::vector<std::string> unusable_checkpoints(const std::filesystem::path& folder,
                                              std::int64_t step);

// Keeps the newest `keep` (≥ 1) complete checkpoints and those of kept_steps; removes the others
// (their manifests first, so that nothing half removed is ever trusted), folders without a manifest
// and .tmp folders. One whose manifest cannot be read (damaged, or newer than this program) stays,
// with a warning. Call it when no checkpoint is being written.
void remove_old_checkpoints(const std::filesystem::path& folder, int keep,
                            const std::set<std::int64_t>& kept_steps = {});

// Reads any slice of any tensor, whatever layout wrote it.
class CheckpointReader {
 public:
  // Throws DataError unless the manifest is there, whole and of this format version.
  explicit CheckpointReader(const std::filesystem::path& folder);
  ~CheckpointReader();
  CheckpointReader(CheckpointReader&&) noexcept;

  const nlohmann::json& state() const;
  // Of all tensors' names, shapes and values: what the checkpoint is, wherever it lies and whatever
  // its state says. Checkpoints that split tensors in different ways have different ones.
  std::string digest() const;
  const std::map<std::string, std::vector<std::int64_t>>& tensors() const;  // name → global shape

  // Fills `out` (row-major, local_shape) with rows [begin, begin + local_shape[split_dimension]) of
  // the tensor, or all of it for split_dimension -1. Every writer dataset that is read is checked
  // against its digest; the last one is kept in memory, so read the slices of one tensor in a row.
  // DataError names file and dataset of a digest that fails.
  void read(const std::string& name, int split_dimension, std::int64_t begin,
            const std::vector<std::int64_t>& local_shape, float* out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads everything and returns the faults in words: missing files, sizes, digests, foreign virtual
// sources. Empty when every byte of every file is what was written. HDF5 gets no file to see of
// which a byte was altered: that can end the process. (Where an older manifest has no digests of
// files, HDF5 does of model.h5, and bytes that nobody looks at are not checked.)
std::vector<std::string> verify_checkpoint(const std::filesystem::path& folder);

}  // namespace polyphase
