// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint_writer.hpp"

#include <atomic>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "comm/agreement.hpp"
#include "io/checkpoint.hpp"
#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

// Whether this rank writes a parameter: of the data-parallel copies one each, of unsplit ones the
// first tensor rank.
bool writes(const Parameter& parameter, std::size_t number, const RankGrid& grid) {
  const bool my_turn = static_cast<int>(number) % grid.data.size() == grid.data.rank();
  return my_turn && (parameter.spec.split_dimension >= 0 || grid.tensor.rank() == 0);
}

// What this rank writes, copied to host memory that is used again for every checkpoint.
struct Snapshot {
  std::vector<float> values;
  std::vector<TensorPart> parts;

  void take(const ParameterSet& parameters, const AdamWOptimizer& optimizer, const RankGrid& grid) {
    parts.clear();
    std::size_t count = 0;
    for (std::size_t number = 0; number < parameters.all().size(); ++number) {
      if (writes(parameters.at(number), number, grid))
        count += static_cast<std::size_t>(parameters.at(number).count);
    }
    values.resize((1 + optimizer.state().size()) * count);
    float* next = values.data();
    add("parameters/", parameters.values(), parameters, grid, next);
    for (const auto& state : optimizer.state()) {
      add(fmt::format("optimizer/{}/", state.name), state.values, parameters, grid, next);
    }
  }

 private:
  void add(const std::string& prefix, Tensor1<float> storage, const ParameterSet& parameters,
           const RankGrid& grid, float*& next) {
    for (std::size_t number = 0; number < parameters.all().size(); ++number) {
      const Parameter& parameter = parameters.at(number);
      if (!writes(parameter, number, grid)) continue;
      copy_to_host(Exec{}, next,
                   Tensor1<const float>(storage.data() + parameter.offset, parameter.count));
      parts.push_back({.name = prefix + parameter.spec.name,
                       .global_shape = parameter.spec.global_shape,
                       .split_dimension = parameter.spec.split_dimension,
                       .begin = parameter.spec.split_dimension < 0 ? 0 : parameter.spec.split.begin,
                       .local_shape = parameter.local_shape,
                       .data = next});
      next += parameter.count;
    }
  }
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
        remove_old_checkpoints(folder, keep);
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
                             const ParameterSet& parameters, const AdamWOptimizer& optimizer) {
  finish();
  State& s = *state_;
  s.final_folder = s.folder / checkpoint_name(step);
  s.tmp_folder = s.final_folder.string() + ".tmp";
  s.state = state;
  s.snapshot.take(parameters, optimizer, s.grid);
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
