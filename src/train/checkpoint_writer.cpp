// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint_writer.hpp"

#include <atomic>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "comm/agreement.hpp"
#include "io/checkpoint.hpp"
#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

// Whether this rank writes a tensor of parameter `number`: of the data-parallel copies one each, of
// unsplit ones the first tensor rank. Of stages of a pipeline, the parameter's owner writes it.
bool writes(bool is_split, std::size_t number, const RankGrid& grid) {
  const bool my_turn = static_cast<int>(number) % grid.data.size() == grid.data.rank();
  return my_turn && (is_split || grid.tensor.rank() == 0);
}

// What one data rank alone has, that one writes.
bool writes(const StateTensor& tensor, const RankGrid& grid) {
  if (tensor.owner == kEveryDataRank) return writes(tensor.is_split, tensor.parameter, grid);
  return tensor.is_here && (tensor.is_split || grid.tensor.rank() == 0);
}

// What this rank writes, copied to host memory that is used again for every checkpoint.
struct Snapshot {
  std::vector<float> values;
  std::vector<TensorPart> parts;

  void take(const ParameterSet& parameters, const Optimizer& optimizer,
            const WeightAverage* average, const RankGrid& grid) {
    parts.clear();
    sources_.clear();
    for (std::size_t number = 0; number < parameters.all().size(); ++number) {
      const Parameter& parameter = parameters.at(number);
      const ParameterSpec& spec = parameter.spec;
      if (!parameter.is_own || !writes(spec.split_dimension >= 0, number, grid)) continue;
      add({.name = "parameters/" + spec.name,
           .global_shape = spec.global_shape,
           .split_dimension = spec.split_dimension,
           .begin = spec.split_dimension < 0 ? 0 : spec.split.begin,
           .local_shape = parameter.local_shape},
          parameter.count,
          [from = Tensor1<const float>(parameters.values().data() + parameter.offset,
                                       parameter.count)](float* to) {
            copy_to_host(Exec{}, to, from);
          });
    }
    for (const StateTensor& tensor : optimizer.state())
      add_state("optimizer/" + tensor.name, tensor, grid);
    if (average != nullptr) {
      for (const StateTensor& tensor : average->tensors()) add_state(tensor.name, tensor, grid);
    }
    copy();
  }

 private:
  void add_state(const std::string& name, const StateTensor& tensor, const RankGrid& grid) {
    if (!writes(tensor, grid)) return;
    add({.name = name,
         .global_shape = tensor.global_shape,
         .split_dimension = tensor.split_dimension,
         .begin = tensor.begin,
         .local_shape = tensor.local_shape},
        tensor.count, [&tensor](float* to) { copy_state_to_host(to, tensor); });
  }

  // copy(to) copies the part's elements to the host.
  void add(TensorPart part, std::int64_t count, std::function<void(float* to)> copy) {
    parts.push_back(std::move(part));
    sources_.push_back({count, std::move(copy)});
  }

  void copy() {
    std::int64_t count = 0;
    for (const Source& source : sources_) count += source.count;
    values.resize(static_cast<std::size_t>(count));
    float* next = values.data();
    for (std::size_t p = 0; p < parts.size(); ++p) {
      sources_[p].copy(next);
      parts[p].data = next;
      next += sources_[p].count;
    }
  }

  struct Source {
    std::int64_t count = 0;
    std::function<void(float*)> copy;
  };
  std::vector<Source> sources_;  // of the parts
};

// One piece of work on a thread of its own; its exception is kept for whoever joins.
class Task {
 public:
  ~Task() {
    if (thread_.joinable()) thread_.join();
  }
  template <class Work>
  void start(Work work) {
    done_ = false;
    error_ = nullptr;
    thread_ = std::thread([this, work] {
      try {
        work();
      } catch (...) {
        error_ = std::current_exception();
      }
      done_ = true;
    });
  }
  bool done() const { return done_; }
  // Waits, and throws what the work threw. Nothing to do when none was started.
  void join() {
    if (thread_.joinable()) thread_.join();
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  std::thread thread_;
  std::atomic<bool> done_ = true;
  std::exception_ptr error_;
};

}  // namespace

struct CheckpointWriter::State {
  enum class Stage { kIdle, kWriting, kCommitting };

  std::filesystem::path folder;
  int keep;
  const Communicator& world;
  const RankGrid& grid;
  Stage stage = Stage::kIdle;
  std::filesystem::path tmp_folder, final_folder;
  std::set<std::int64_t> kept_steps;
  nlohmann::json state;
  Snapshot snapshot;
  std::string report;  // of this rank's part
  CheckpointTemplates templates;
  Task task;  // last: joined before what it works on goes

  // Joins this stage's task on every rank and starts the next stage.
  void advance() {
    agree_on(world, [&] { task.join(); });
    if (stage == Stage::kWriting) {
      const std::vector<std::string> reports = world.gather(report);
      stage = Stage::kCommitting;
      if (world.rank() != 0) return;
      task.start([this, reports] {
        std::vector<PartReport> written;
        for (const std::string& text : reports) written.push_back(part_report_from_text(text));
        commit_checkpoint(tmp_folder, final_folder, written, state, templates);
        remove_old_checkpoints(folder, keep, kept_steps);
      });
    } else {
      stage = Stage::kIdle;
    }
  }
};

CheckpointWriter::CheckpointWriter(std::filesystem::path folder, int keep,
                                   const Communicator& world, const RankGrid& grid)
    : state_(new State{.folder = std::move(folder), .keep = keep, .world = world, .grid = grid}) {}

CheckpointWriter::~CheckpointWriter() = default;

void CheckpointWriter::begin(std::int64_t step, const nlohmann::json& state,
                             const ParameterSet& parameters, const Optimizer& optimizer,
                             const WeightAverage* average,
                             const std::set<std::int64_t>& kept_steps) {
  finish();
  State& s = *state_;
  s.final_folder = s.folder / checkpoint_name(step);
  s.tmp_folder = s.final_folder.string() + ".tmp";
  s.state = state;
  s.kept_steps = kept_steps;
  s.snapshot.take(parameters, optimizer, average, s.grid);
  s.stage = State::Stage::kWriting;
  s.task.start([&s] {
    s.report =
        to_text(write_checkpoint_part(s.tmp_folder, s.world.rank(), s.snapshot.parts, s.templates));
  });
}

void CheckpointWriter::poll() {
  if (state_->stage == State::Stage::kIdle) return;
  std::int64_t busy = state_->task.done() ? 0 : 1;
  state_->world.max(&busy, 1);
  if (busy == 0) state_->advance();
}

void CheckpointWriter::finish() {
  while (state_->stage != State::Stage::kIdle) state_->advance();
}

}  // namespace polyphase
