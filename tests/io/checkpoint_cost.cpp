// SPDX-License-Identifier: Apache-2.0
// Prints the processor time that checkpoints of a small encoder take, digests, files and clearing
// away of old ones included: checkpoint_cost FOLDER [checkpoints [layers [width]]].
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "io/checkpoint.hpp"

namespace polyphase {
namespace {

constexpr int kWriters = 2;
constexpr int kKept = 2;

// Of the calling thread, in the program and in the kernel: what is taken from training, whatever
// else the machine does.
double cpu_milliseconds() {
  timespec now = {};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

struct Tensor {
  std::string name;
  std::vector<std::int64_t> shape;
};

void add_block(std::vector<Tensor>& tensors, const std::string& prefix, std::int64_t width) {
  for (const char* product : {"query", "key", "value", "output"}) {
    tensors.push_back({prefix + "attention." + product + ".weight", {width, width}});
    tensors.push_back({prefix + "attention." + product + ".bias", {width}});
  }
  tensors.push_back({prefix + "feed_forward.in.weight", {4 * width, width}});
  tensors.push_back({prefix + "feed_forward.in.bias", {4 * width}});
  tensors.push_back({prefix + "feed_forward.out.weight", {width, 4 * width}});
  tensors.push_back({prefix + "feed_forward.out.bias", {width}});
  for (const char* norm : {"attention", "feed_forward"}) {
    tensors.push_back({prefix + norm + ".norm.gain", {width}});
    tensors.push_back({prefix + norm + ".norm.shift", {width}});
  }
}

// The encoder of the demonstration's recipe in its pretraining phase.
std::vector<Tensor> encoder(int num_layers, std::int64_t width) {
  constexpr std::int64_t kVocabulary = 4096;
  constexpr std::int64_t kPositions = 64;
  std::vector<Tensor> tensors = {{"embedding.token.weight", {kVocabulary, width}},
                                 {"embedding.position.weight", {kPositions, width}},
                                 {"embedding.segment.weight", {2, width}}};
  for (int l = 0; l < num_layers; ++l)
    add_block(tensors, "layers." + std::to_string(l) + ".", width);
  for (const char* name : {"final.norm", "head.mlm.norm"}) {
    tensors.push_back({name + std::string(".gain"), {width}});
    tensors.push_back({name + std::string(".shift"), {width}});
  }
  tensors.push_back({"head.mlm.transform.weight", {width, width}});
  tensors.push_back({"head.mlm.transform.bias", {width}});
  tensors.push_back({"head.mlm.bias", {kVocabulary}});
  tensors.push_back({"head.nsp.pool.weight", {width, width}});
  tensors.push_back({"head.nsp.pool.bias", {width}});
  tensors.push_back({"head.nsp.output.weight", {2, width}});
  tensors.push_back({"head.nsp.output.bias", {2}});
  return tensors;
}

// What a writer holds: every second tensor, as two data-parallel ranks deal them.
std::vector<TensorPart> parts_of(const std::vector<Tensor>& tensors, int writer,
                                 std::vector<float>& values) {
  std::vector<TensorPart> parts;
  std::vector<std::int64_t> begins;
  std::int64_t total = 0;
  for (const char* prefix : {"parameters/", "optimizer/moment1/", "optimizer/moment2/"}) {
    for (std::size_t t = static_cast<std::size_t>(writer); t < tensors.size(); t += kWriters) {
      parts.push_back({prefix + tensors[t].name, tensors[t].shape, -1, 0, tensors[t].shape});
      begins.push_back(total);
      std::int64_t count = 1;
      for (const std::int64_t extent : tensors[t].shape) count *= extent;
      total += count;
    }
  }
  values.resize(static_cast<std::size_t>(total), 0.25F);
  for (std::size_t p = 0; p < parts.size(); ++p) parts[p].data = values.data() + begins[p];
  return parts;
}

void measure(const std::filesystem::path& folder, int num_checkpoints, int num_layers,
             std::int64_t width) {
  const std::vector<Tensor> tensors = encoder(num_layers, width);
  std::vector<float> values[kWriters];
  std::vector<TensorPart> parts[kWriters];
  for (int w = 0; w < kWriters; ++w) parts[w] = parts_of(tensors, w, values[w]);
  CheckpointTemplates templates[kWriters];
  double write_ms = 0;
  double commit_ms = 0;
  double clear_ms = 0;
  for (int step = 0; step <= num_checkpoints; ++step) {
    if (step == 1) write_ms = commit_ms = clear_ms = 0;
    const auto final_folder = folder / checkpoint_name(step);
    const auto tmp_folder = final_folder.string() + ".tmp";
    const double begin = cpu_milliseconds();
    std::vector<PartReport> reports;
    for (int w = 0; w < kWriters; ++w)
      reports.push_back(part_report_from_text(
          to_text(write_checkpoint_part(tmp_folder, w, parts[w], templates[w]))));
    const double written = cpu_milliseconds();
    commit_checkpoint(tmp_folder, final_folder, reports, {{"step", step}}, templates[0]);
    const double committed = cpu_milliseconds();
    remove_old_checkpoints(folder, kKept);
    write_ms += written - begin;
    commit_ms += committed - written;
    clear_ms += cpu_milliseconds() - committed;
  }
  const double n = num_checkpoints;
  std::printf(
      "%d layers, width %ld, %.1f MB in %zu tensors, %d writers: %.1f ms of processor time a "
      "checkpoint (writers %.1f, commit %.1f, clearing old ones away %.1f)\n",
      num_layers, static_cast<long>(width),
      4e-6 * static_cast<double>(values[0].size() + values[1].size()), 3 * tensors.size(), kWriters,
      (write_ms + commit_ms + clear_ms) / n, write_ms / n, commit_ms / n, clear_ms / n);
}

}  // namespace
}  // namespace polyphase

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: checkpoint_cost FOLDER [checkpoints [layers [width]]]\n");
    return 64;
  }
  polyphase::measure(argv[1], argc > 2 ? std::atoi(argv[2]) : 50, argc > 3 ? std::atoi(argv[3]) : 2,
                     argc > 4 ? std::atoi(argv[4]) : 128);
}
