// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_template.hpp"

#include "base/error.hpp"
#include "checkpoint_fixture.hpp"
#include "io/checkpoint.hpp"
#include "scratch_folder.hpp"

namespace polyphase {
namespace {

using testing_checkpoint::kTensors;
using testing_checkpoint::slice_of;

// Datasets below and above the size from which HDF5 puts them on pages, of several types.
const hdf5::NewFile kLayout{{{"a/small", hdf5::ElementType::kFloat32, {3, 5}},
                             {"large", hdf5::ElementType::kFloat32, {40000}},
                             {"b/c/counts", hdf5::ElementType::kInt64, {7}},
                             {"a/last", hdf5::ElementType::kUint16, {1}}},
                            {{"format", "template test"}},
                            {{"version", 3}}};

struct Values {
  std::vector<std::vector<char>> bytes;
  std::vector<const void*> data;
};

Values values_of(int seed) {
  Values values;
  for (const hdf5::NewDataset& dataset : kLayout.datasets) {
    const std::int64_t num_bytes =
        hdf5::checked_product(dataset.shape) * hdf5::size_bytes(dataset.type);
    std::vector<char> bytes(static_cast<std::size_t>(num_bytes));
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + seed);
    values.bytes.push_back(std::move(bytes));
  }
  for (const std::vector<char>& bytes : values.bytes) values.data.push_back(bytes.data());
  return values;
}

std::int64_t write_by_hdf5(const std::filesystem::path& path, const Values& values) {
  hdf5::PreparedFile file(path, kLayout);
  for (std::size_t i = 0; i < values.data.size(); ++i) {
    const hdf5::NewDataset& dataset = kLayout.datasets[i];
    file.write(dataset.name, 0, hdf5::checked_product(dataset.shape), values.data[i]);
  }
  return file.finish();
}

TEST(FileTemplate, WritesTheBytesThatHdf5Would) {
  const ScratchFolder folder;
  write_by_hdf5(folder / "first.h5", values_of(1));
  const hdf5::FileTemplate known(folder / "first.h5", kLayout);
  const Values values = values_of(2);
  const std::int64_t num_bytes = write_by_hdf5(folder / "hdf5.h5", values);
  EXPECT_EQ(known.write(folder / "again.h5", values.data), num_bytes);
  EXPECT_TRUE(bytes_of(folder / "again.h5") == bytes_of(folder / "hdf5.h5"));
  EXPECT_FALSE(bytes_of(folder / "again.h5") == bytes_of(folder / "first.h5"));
}

TEST(FileTemplate, AFileThatIsNotOfTheLayoutIsRefused) {
  const ScratchFolder folder;
  write_by_hdf5(folder / "first.h5", values_of(1));
  for (const auto& spoil : std::vector<std::function<void(hdf5::NewFile&)>>{
           [](hdf5::NewFile& layout) { layout.datasets[0].name = "a/other"; },
           [](hdf5::NewFile& layout) {
             layout.datasets[0].shape = {5, 3};
           },
           [](hdf5::NewFile& layout) { layout.datasets[2].type = hdf5::ElementType::kInt32; },
           [](hdf5::NewFile& layout) { layout.datasets.pop_back(); }}) {
    hdf5::NewFile layout = kLayout;
    spoil(layout);
    EXPECT_THROW(hdf5::FileTemplate(folder / "first.h5", layout), DataError);
  }
}

TEST(FileTemplate, AFileInItsPlaceIsNotReplaced) {
  const ScratchFolder folder;
  const Values values = values_of(1);
  write_by_hdf5(folder / "first.h5", values);
  const hdf5::FileTemplate known(folder / "first.h5", kLayout);
  put_bytes(folder / "mine", "mine");
  EXPECT_THROW(known.write(folder / "mine", values.data), SystemError);
  EXPECT_EQ(bytes_of(folder / "mine"), "mine");
}

// Writes kTensors over two writers, their values times `factor`, with or without what is known.
void write_scaled(const std::filesystem::path& folder, int dimension, float factor,
                  CheckpointTemplates (&known)[2], bool use_known) {
  std::vector<PartReport> reports;
  for (int writer = 0; writer < 2; ++writer) {
    std::vector<testing_checkpoint::Slice> slices;
    for (const auto& tensor : kTensors) slices.push_back(slice_of(tensor, dimension, writer, 2));
    std::vector<TensorPart> parts;
    for (std::size_t t = 0; t < slices.size(); ++t) {
      testing_checkpoint::Slice& slice = slices[t];
      if (slice.dimension < 0 && static_cast<int>(t) % 2 != writer) continue;
      for (float& value : slice.values) value *= factor;
      parts.push_back({kTensors[t].name, kTensors[t].shape, slice.dimension, slice.begin,
                       slice.shape, slice.values.data()});
    }
    const auto tmp = folder.string() + ".tmp";
    reports.push_back(use_known ? write_checkpoint_part(tmp, writer, parts, known[writer])
                                : write_checkpoint_part(tmp, writer, parts));
  }
  if (use_known) {
    commit_checkpoint(folder.string() + ".tmp", folder, reports, {{"factor", factor}}, known[0]);
  } else {
    commit_checkpoint(folder.string() + ".tmp", folder, reports, {{"factor", factor}});
  }
}

TEST(CheckpointTemplates, CheckpointsAreTheSameWithAndWithoutThem) {
  const ScratchFolder folder;
  CheckpointTemplates known[2];
  int step = 0;
  // The layout of ranks stays, changes, and comes back.
  for (const int dimension : {0, 0, 1, 1, -1, -1, 0, 0}) {
    const std::string name = checkpoint_name(++step);
    const float factor = 1.0F / static_cast<float>(step);
    write_scaled(folder / fmt::format("with/{}", name), dimension, factor, known, true);
    write_scaled(folder / fmt::format("without/{}", name), dimension, factor, known, false);
    for (const char* file : {"writer-0000.h5", "writer-0001.h5", "model.h5", "manifest.json"}) {
      EXPECT_TRUE(bytes_of(folder / fmt::format("with/{}", name) / file) ==
                  bytes_of(folder / fmt::format("without/{}", name) / file))
          << file << " of step " << step;
    }
    EXPECT_EQ(verify_checkpoint(folder / fmt::format("with/{}", name)), std::vector<std::string>());
  }
}

}  // namespace
}  // namespace polyphase
