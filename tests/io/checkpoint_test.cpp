// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint.hpp"

#include <cstdio>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "checkpoint_fixture.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

using testing_checkpoint::expect_reads_back;
using testing_checkpoint::kTensors;
using testing_checkpoint::value_at;
using testing_checkpoint::write_checkpoint;

TEST(Checkpoint, AnyLayoutReadsAnyLayout) {
  const ScratchFolder folder;
  for (const int writers : {1, 2, 3, 4}) {
    for (const int dimension : {-1, 0, 1}) {
      const auto where = folder / fmt::format("{}-{}/step-000001", writers, dimension);
      write_checkpoint(where, writers, dimension, 1);
      CheckpointReader reader(where);
      ASSERT_EQ(reader.tensors().size(), kTensors.size());
      for (const int readers : {1, 2, 3, 4}) {
        for (const int slice_dimension : {-1, 0, 1})
          expect_reads_back(reader, readers, slice_dimension);
      }
      EXPECT_EQ(verify_checkpoint(where), std::vector<std::string>());
    }
  }
}

TEST(Checkpoint, StateComesBack) {
  const ScratchFolder folder;
  write_checkpoint(folder / "step-000007", 2, 0, 7);
  EXPECT_EQ(CheckpointReader(folder / "step-000007").state(),
            nlohmann::json({{"step", 7}, {"loss", 0.1}}));
}

TEST(Checkpoint, ReportsSurviveTheWayBetweenRanks) {
  const ScratchFolder folder;
  const std::vector<float> data(6, 1.5F);
  const TensorPart part{"parameters/w", {4, 6}, 0, 3, {1, 6}, data.data()};
  const PartReport report = write_checkpoint_part(folder / "step-000001.tmp", 3, {&part, 1});
  const PartReport back = part_report_from_text(to_text(report));
  EXPECT_EQ(to_text(back), to_text(report));
  EXPECT_EQ(back.file, "writer-0003.h5");
  EXPECT_EQ(back.datasets[0].digest, digest(data.data(), 24));
  EXPECT_EQ(back.num_bytes, static_cast<std::int64_t>(std::filesystem::file_size(
                                folder / "step-000001.tmp/writer-0003.h5")));
  EXPECT_THROW(part_report_from_text("{\"writer\": 3}"), DataError);
}

TEST(Checkpoint, AWriterWithoutARowLeavesNoTrace) {
  const ScratchFolder folder;
  const std::vector<float> data = {1, 2, 3};
  const TensorPart all{"w", {1, 3}, 0, 0, {1, 3}, data.data()};
  const TensorPart none{"w", {1, 3}, 0, 1, {0, 3}, nullptr};
  const auto tmp = folder / "step-000001.tmp";
  const std::vector<PartReport> reports = {write_checkpoint_part(tmp, 0, {&all, 1}),
                                           write_checkpoint_part(tmp, 1, {&none, 1})};
  commit_checkpoint(tmp, folder / "step-000001", reports, {});
  EXPECT_FALSE(std::filesystem::exists(folder / "step-000001/writer-0001.h5"));
  EXPECT_EQ(verify_checkpoint(folder / "step-000001"), std::vector<std::string>());
}

// Commits the parts, each by a writer of its own.
void commit_parts(const ScratchFolder& folder, const std::vector<TensorPart>& parts) {
  std::vector<PartReport> reports;
  for (const TensorPart& part : parts) {
    reports.push_back(write_checkpoint_part(folder / "step-000001.tmp",
                                            static_cast<int>(reports.size()), {&part, 1}));
  }
  commit_checkpoint(folder / "step-000001.tmp", folder / "step-000001", reports, {});
}

TEST(Checkpoint, ATensorWithAHoleOrTwiceIsNotCommitted) {
  const std::vector<float> data(8, 0.5F);
  const TensorPart first{"w", {4, 2}, 0, 0, {2, 2}, data.data()};
  const TensorPart second{"w", {4, 2}, 0, 2, {2, 2}, data.data()};
  const TensorPart late{"w", {4, 2}, 0, 3, {1, 2}, data.data()};
  const TensorPart across{"w", {4, 2}, 1, 0, {4, 1}, data.data()};
  const TensorPart whole{"w", {4, 2}, -1, 0, {4, 2}, data.data()};
  for (const auto& parts : std::vector<std::vector<TensorPart>>{{first},
                                                                {second},
                                                                {first, late},
                                                                {first, first},
                                                                {first, second, late},
                                                                {first, across},
                                                                {whole, whole},
                                                                {whole, second}}) {
    const ScratchFolder folder;
    EXPECT_THROW(commit_parts(folder, parts), std::logic_error);
    EXPECT_TRUE(find_checkpoints(folder.path()).empty());
  }
  const ScratchFolder folder;
  EXPECT_NO_THROW(commit_parts(folder, {second, first}));
}

TEST(Checkpoint, HalfWrittenCheckpointIsNotTrusted) {
  const ScratchFolder folder;
  write_checkpoint(folder / "step-000010", 2, 0, 10);
  write_checkpoint(folder / "step-000020", 2, 0, 20);
  write_checkpoint(folder / "step-000030", 2, 0, 30);
  std::filesystem::remove(folder / "step-000020/manifest.json");
  std::string manifest = bytes_of(folder / "step-000030/manifest.json");
  put_bytes(folder / "step-000030/manifest.json", manifest.substr(0, manifest.size() / 2));
  std::filesystem::create_directory(folder / "step-000040.tmp");
  const auto found = find_checkpoints(folder.path());
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].step, 10);
  EXPECT_THROW(CheckpointReader(folder / "step-000020"), DataError);
  EXPECT_THROW(CheckpointReader(folder / "step-000030"), DataError);
  EXPECT_TRUE(find_checkpoints(folder / "absent").empty());
}

TEST(Checkpoint, OldReaderRefusesNewFormat) {
  const ScratchFolder folder;
  write_checkpoint(folder / "step-000010", 1, -1, 10);
  const auto path = folder / "step-000010/manifest.json";
  std::string text = bytes_of(path);
  const std::size_t version = text.find("\"version\": 1");
  ASSERT_NE(version, std::string::npos);
  text.replace(version, 12, "\"version\": 2");
  const std::size_t seal = text.rfind(",\n \"digest\"");
  put_bytes(path,
            text.substr(0, seal) + ",\n \"digest\": \"" + digest(text.substr(0, seal)) + "\"\n}\n");
  const std::string message =
      message_of<DataError>([&] { CheckpointReader r(folder / "step-000010"); });
  EXPECT_TRUE(contains(message, "version 2, where this program reads version 1")) << message;
}

TEST(Checkpoint, AlteredCheckpointIsNamed) {
  const ScratchFolder folder;
  const float marker = 12345.678F;
  const std::vector<float> data(300, marker);
  const TensorPart part{"parameters/layers.0.w", {300}, -1, 0, {300}, data.data()};
  const auto where = folder / "step-000001";
  commit_checkpoint(folder / "t", where, {write_checkpoint_part(folder / "t", 0, {&part, 1})}, {});
  flip_bit_at(where / "writer-0000.h5", std::string(reinterpret_cast<const char*>(&marker), 4));
  CheckpointReader reader(where);
  std::vector<float> out(300);
  for (const std::int64_t count : {300, 7}) {
    const std::string message = message_of<DataError>(
        [&] { reader.read("parameters/layers.0.w", 0, 0, {count}, out.data()); });
    EXPECT_TRUE(contains(message, "writer-0000.h5: /parameters/layers.0.w was altered")) << message;
    EXPECT_TRUE(contains(message, "previous checkpoint")) << message;
  }
  const std::vector<std::string> faults = verify_checkpoint(where);
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_TRUE(contains(faults[0], "/parameters/layers.0.w was altered")) << faults[0];
}

TEST(Checkpoint, EveryDamageIsFoundByVerify) {
  const ScratchFolder folder;
  const auto spoil = [&](const char* name, const std::function<void(std::filesystem::path)>& act) {
    const auto where = folder / name;
    write_checkpoint(where, 2, 1, 1);
    act(where);
    EXPECT_FALSE(verify_checkpoint(where).empty()) << name;
  };
  spoil("a", [](auto where) { std::filesystem::remove(where / "writer-0001.h5"); });
  spoil("b", [](auto where) { std::filesystem::remove(where / "model.h5"); });
  spoil("c", [](auto where) { std::filesystem::remove(where / "manifest.json"); });
  spoil("d", [](auto where) { std::filesystem::resize_file(where / "writer-0000.h5", 4000); });
  spoil("e", [](auto where) {
    put_bytes(where / "writer-0000.h5", bytes_of(where / "writer-0000.h5") + "x");
  });
  spoil("f", [](auto where) {
    std::filesystem::copy_file(where / "writer-0001.h5", where / "writer-0000.h5",
                               std::filesystem::copy_options::overwrite_existing);
  });
  spoil("g", [](auto where) { flip_bit_at(where / "model.h5", "writer-0001.h5"); });
  spoil("h", [](auto where) { flip_bit_at(where / "manifest.json", "\"begin\""); });
}

TEST(Checkpoint, KeepsTheNewestAndNothingHalfWritten) {
  const ScratchFolder folder;
  for (const int step : {5, 10, 15, 1000000}) {
    write_checkpoint(folder / checkpoint_name(step), 1, -1, step);
  }
  std::filesystem::create_directory(folder / "step-000020.tmp");
  std::filesystem::create_directory(folder / "step-000012");
  std::filesystem::create_directory(folder / "my-own");
  put_bytes(folder / "step-notes.txt", "mine");
  remove_old_checkpoints(folder.path(), 2);
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    left.push_back(entry.path().filename());
  }
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left,
            (std::vector<std::string>{"my-own", "step-000015", "step-1000000", "step-notes.txt"}));
}

TEST(Checkpoint, ThatOfAChosenStepStaysBesideTheNewest) {
  const ScratchFolder folder;
  for (const int step : {5, 10, 15, 20}) {
    write_checkpoint(folder / checkpoint_name(step), 1, -1, step);
  }
  const auto steps = [&] {
    std::vector<std::int64_t> left;
    for (const CheckpointEntry& entry : find_checkpoints(folder.path())) left.push_back(entry.step);
    return left;
  };
  remove_old_checkpoints(folder.path(), 1, {10});
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{10, 20}));
  remove_old_checkpoints(folder.path(), 1, {20});
  EXPECT_EQ(steps(), (std::vector<std::int64_t>{20}));
}

TEST(Checkpoint, AManifestThatThisProgramCannotReadIsNotDeleted) {
  const ScratchFolder folder;
  write_checkpoint(folder / "step-000001", 1, -1, 1);
  write_checkpoint(folder / "step-000002", 1, -1, 2);
  flip_bit_at(folder / "step-000001/manifest.json", "version");
  remove_old_checkpoints(folder.path(), 1);
  EXPECT_TRUE(std::filesystem::exists(folder / "step-000001"));
}

TEST(Checkpoint, ASecondSaveOfAStepReplacesTheFirst) {
  const ScratchFolder folder;
  write_checkpoint(folder / "step-000001", 3, 0, 1);
  write_checkpoint(folder / "step-000001", 1, 0, 1);
  EXPECT_EQ(verify_checkpoint(folder / "step-000001"), std::vector<std::string>());
  EXPECT_FALSE(std::filesystem::exists(folder / "step-000001/writer-0002.h5"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Checkpoint, FilesOfAKilledAttemptAreNotCarriedOver) {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "step-000001.tmp");
  put_bytes(folder / "step-000001.tmp/writer-0000.h5", "half");
  put_bytes(folder / "step-000001.tmp/writer-0007.h5", "half");
  write_checkpoint(folder / "step-000001", 2, 0, 1);
  EXPECT_EQ(verify_checkpoint(folder / "step-000001"), std::vector<std::string>());
  EXPECT_FALSE(std::filesystem::exists(folder / "step-000001/writer-0007.h5"));
}

TEST(Checkpoint, ASliceOfAnotherShapeOrNameIsRefused) {
  const ScratchFolder folder;
  write_checkpoint(folder / "step-000001", 2, 0, 1);
  CheckpointReader reader(folder / "step-000001");
  std::vector<float> out(1000);
  const std::string name = kTensors[0].name;
  EXPECT_THROW(reader.read("absent", -1, 0, {1}, out.data()), DataError);
  EXPECT_THROW(reader.read(name, -1, 0, {8, 7}, out.data()), DataError);
  EXPECT_THROW(reader.read(name, 0, 7, {2, 6}, out.data()), DataError);
  EXPECT_THROW(reader.read(name, 2, 0, {7, 6}, out.data()), DataError);
}

// What a command prints; the test is skipped, loudly, where the command is missing.
std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  char piece[256];
  while (pipe != nullptr && std::fgets(piece, sizeof piece, pipe) != nullptr) text += piece;
  const int status = pipe == nullptr ? -1 : ::pclose(pipe);
  return status == 0 ? text : "failed: " + text;
}

TEST(Checkpoint, H5dumpShowsWholeTensorsAfterAMove) {
  if (contains(output_of("h5dump --version"), "failed")) {
    GTEST_SKIP() << "h5dump is not installed (Debian package hdf5-tools)";
  }
  const ScratchFolder folder;
  write_checkpoint(folder / "a/step-000001", 3, 1, 1);
  std::filesystem::rename(folder / "a", folder / "moved");
  for (const auto& tensor : kTensors) {
    const std::string text =
        output_of(fmt::format("h5dump -y -w 1 -m %.9g -d /{} {}", tensor.name,
                              (folder / "moved/step-000001/model.h5").string()));
    std::string expected;
    std::int64_t count = 1;
    for (const std::int64_t extent : tensor.shape) count *= extent;
    std::string compact;
    for (const char c : text) {
      if (c != ' ' && c != '\n') compact += c;
    }
    for (std::int64_t i = 0; i < count; ++i) {
      expected += fmt::format("{}{:.9g}", i == 0 ? "" : ",", value_at(tensor.name, i));
    }
    EXPECT_TRUE(contains(compact, "{" + expected + "}")) << tensor.name << "\n" << text;
  }
}

}  // namespace
}  // namespace polyphase
