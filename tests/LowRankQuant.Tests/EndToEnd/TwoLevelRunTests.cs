using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Runs onto two-level grids: every field is stored, read back, measured, and resumed from.</summary>
public sealed class TwoLevelRunTests
{
    public static TheoryData<string> Grids => ["q2_k", "q3_k", "q4_k"];

    [Theory]
    [MemberData(nameof(Grids))]
    public async Task WhatIsWrittenIsWhatWasComputed(string name)
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        CliResult result = await Lrq.Run(Lrq.Rounding(output, "--grid", name, "--target", "llama.cpp"));
        Assert.True(result.Code == 0, result.Error);
        TwoLevelGrid grid = TwoLevelGrid.Find(name)!;
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var original = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), device);
        using HuggingFaceCheckpoint written = HuggingFaceCheckpoint.Open(output);
        Assert.Equal("folder of two-level grids", written.Kind);
        Assert.Equal(original.Checkpoint.TensorNames.Order(StringComparer.Ordinal), written.TensorNames.Order(StringComparer.Ordinal));
        foreach ((string linear, int outFeatures, int inFeatures) in original.Linears)
        {
            string tensor = $"{original.BlockName(1)}.{linear}.weight";
            float[] weight = new float[outFeatures * inFeatures], expected = new float[weight.Length], values = new float[weight.Length];
            original.Checkpoint.Read(tensor, weight);
            FittedGrid fit = FittedGrid.Find(weight, outFeatures, inFeatures, new Scheme(grid, GridStart.Search, ScaleType.Float16), device.HostWorkers);
            var rounded = Assert.IsType<TwoLevelWeight>(fit.Round(weight, default, device.HostWorkers));
            var read = Assert.IsType<TwoLevelWeight>(written.ReadQuantized(tensor));
            Assert.Equal(rounded.Codes, read.Codes);
            Assert.Equal(rounded.Scales.BlockScales, read.Scales.BlockScales);
            Assert.Equal(rounded.Scales.GroupScales, read.Scales.GroupScales);
            Assert.Equal(rounded.Scales.GroupMinima, read.Scales.GroupMinima);
            rounded.Dequantize(expected);
            written.Read(tensor, values);
            Assert.Equal(expected, values);
            Assert.Equal(grid.StoredBits(outFeatures, inFeatures, ScaleType.Float16), written.StoredBitsOf(tensor));
        }
        CliResult inspected = await Lrq.Run("inspect", output);
        Assert.Equal(0, inspected.Code);
        Assert.Contains($"{grid}, Float16 scales", inspected.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task LearningChangesCodesAndScalesButNoInteger()
    {
        using var folder = new TemporaryFolder();
        string rounded = folder.File("rounded"), learned = folder.File("learned"), untrained = folder.File("untrained");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(rounded, "--grid", "q3_k"))).Code);
        Assert.Equal(0, (await Lrq.Run(OnGrid(Lrq.SmallRun(learned)))).Code);
        Assert.Equal(0, (await Lrq.Run(OnGrid(Lrq.SmallRun(untrained, iterations: 0)))).Code);
        using HuggingFaceCheckpoint one = HuggingFaceCheckpoint.Open(rounded), two = HuggingFaceCheckpoint.Open(learned), none = HuggingFaceCheckpoint.Open(untrained);
        int codes = 0, scales = 0;
        foreach (string name in one.TensorNames)
        {
            if (one.ReadQuantized(name) is not TwoLevelWeight first) continue;
            var second = Assert.IsType<TwoLevelWeight>(two.ReadQuantized(name));
            Assert.Equal(first.Scales.GroupScales, second.Scales.GroupScales);
            codes += first.Codes.Zip(second.Codes, (a, b) => a == b ? 0 : 1).Sum();
            scales += first.Scales.BlockScales.Zip(second.Scales.BlockScales, (a, b) => a == b ? 0 : 1).Sum();
            // Without a step of training it is round to nearest, to the last bit.
            var same = Assert.IsType<TwoLevelWeight>(none.ReadQuantized(name));
            Assert.Equal(first.Codes, same.Codes);
            Assert.Equal(first.Scales.BlockScales, same.Scales.BlockScales);
        }
        Assert.True(codes > 0 && scales > 0, $"{codes} codes and {scales} scales differ");
    }

    [Theory]
    [InlineData("--grid", "q4_k")]
    [InlineData("--layers", "layers.0.*=q4_k")]
    public async Task StaticCachesAreStoredBesideThem(string option, string value)
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        CliResult result = await Lrq.Run("quantize", "demo", "--method", "rtn", option, value, "--cache", "8:tensor", "--samples", "2", "--held-out", "1", "--sequence-length", "32", "--eval-windows", "1", "--out", output);
        Assert.True(result.Code == 0, result.Error);
        // Measured as it is stored, so that there is no row of its own for that.
        Assert.DoesNotContain("as stored", result.Out, StringComparison.Ordinal);
        using HuggingFaceCheckpoint written = HuggingFaceCheckpoint.Open(output);
        Assert.Equal("folder of two-level grids", written.Kind);
        Assert.Contains("kv_cache_scheme int8", written.Quantizers!.Description, StringComparison.Ordinal);
        CliResult again = await Lrq.Run("eval", output, "--text", Path.Combine(TestData.Demo, "evaluation.txt"), "--windows", "1");
        Assert.True(again.Code == 0, again.Error);
        // GGUF has no place for it, and the export says so.
        CliResult exported = await Lrq.Run("convert", output, "--to", "gguf", "--out", folder.File("out.gguf"));
        Assert.Equal(2, exported.Code);
        Assert.Contains("no place for a quantized key-value cache", exported.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnInterruptedRunGoesOnToTheSameBytes()
    {
        using var folder = new TemporaryFolder();
        string whole = folder.File("whole"), parts = folder.File("parts");
        Assert.Equal(0, (await Lrq.Run(OnGrid(Lrq.SmallRun(whole)))).Code);
        Assert.Equal(0, (await Lrq.Run([.. OnGrid(Lrq.SmallRun(parts)), "--blocks", "2"])).Code);
        Assert.True(File.Exists(Path.Combine(parts, ".lrq", "blocks", "block-00001.safetensors")));
        Assert.Equal(0, (await Lrq.Run(OnGrid(Lrq.SmallRun(parts, threads: 2)))).Code);
        Assert.Equal(Lrq.Bytes(whole), Lrq.Bytes(parts));
    }

    [Theory]
    [InlineData("flrq")]
    [InlineData("flrq+")]
    public async Task ABranchIsStoredBesideATwoLevelBase(string method)
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        CliResult result = await Lrq.Run(
            "quantize", "demo", "--method", method, "--grid", "q2_k", "--rank", "4", "--rank-rule", "fixed", "--samples", "8", "--held-out", "2",
            "--sequence-length", "64", "--eval-windows", "1", "--threads", "1", "--out", output);
        Assert.True(result.Code == 0, result.Error);
        using ICheckpoint written = CheckpointOpener.Open(output);
        string name = written.TensorNames.First(tensor => tensor.EndsWith("down_proj.weight", StringComparison.Ordinal));
        var weight = Assert.IsType<TwoLevelWeight>(written.ReadQuantized(name));
        Assert.Equal(4, weight.Branch!.Rank);
        float[] values = new float[weight.Codes.Length], read = new float[weight.Codes.Length];
        weight.Reconstruct(values);
        written.Read(name, read);
        Assert.Equal(values, read);
    }

    [Fact]
    public async Task AResidualLearnedByLrqIsExportedWithItsBranch()
    {
        using var folder = new TemporaryFolder();
        string fitted = folder.File("fitted"), output = folder.File("out"), file = folder.File("model.gguf");
        string[] command =
        [
            "quantize", "demo", "--method", "flrq+", "--grid", "q3_k", "--rank", "4", "--samples", "8", "--held-out", "2", "--sequence-length", "64",
            "--eval-windows", "1", "--threads", "1",
        ];
        Assert.Equal(0, (await Lrq.Run([.. command, "--out", fitted])).Code);
        CliResult result = await Lrq.Run([.. command, "--residual", "lrq", "--train-branch", "true", "--iterations", "10", "--out", output]);
        Assert.True(result.Code == 0, result.Error);
        int codes = 0;
        using (ICheckpoint first = CheckpointOpener.Open(fitted), learned = CheckpointOpener.Open(output))
        {
            foreach (string name in first.TensorNames)
            {
                if (first.ReadQuantized(name) is not TwoLevelWeight one) continue;
                codes += one.Codes.Zip(Assert.IsType<TwoLevelWeight>(learned.ReadQuantized(name)).Codes, (a, b) => a == b ? 0 : 1).Sum();
            }
        }
        Assert.True(codes > 0);
        Assert.Equal(0, (await Lrq.Run("export", output, "--to", "gguf", "--out", file)).Code);
        CliResult verified = await Lrq.Run("verify", file, "--against", output);
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        CliResult branch = await Lrq.Run("verify", folder.File("model.lora.gguf"), "--against", output);
        Assert.True(branch.Code == 0, branch.Out + branch.Error);
    }

    [Fact]
    public async Task AGgufFileHoldsTheSameValuesInTheEnginesOwnBlocks()
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out"), file = folder.File("model.gguf");
        Assert.Equal(0, (await Lrq.Run(OnGrid(Lrq.SmallRun(output)))).Code);
        using ICheckpoint written = CheckpointOpener.Open(output);
        GgufExporter.Write(written, file, new GgufExportOptions { Embedding = GgmlType.F32 }, cancellation: TestContext.Current.CancellationToken);
        using GgufFile blocks = GgufFile.Open(file);
        Assert.Equal(4 * 7, blocks.Tensors.Values.Count(tensor => tensor.Type == GgmlType.Q3_K));
        using ICheckpoint back = CheckpointOpener.Open(file);
        foreach (string name in written.TensorNames)
        {
            int count = written.ShapeOf(name).Aggregate(1, (product, size) => product * size);
            float[] expected = new float[count], values = new float[count];
            written.Read(name, expected);
            back.Read(name, values);
            Assert.Equal(expected, values);
        }
    }

    // Bits of the small run agree with the grid.
    private static string[] OnGrid(string[] run) => [.. run, "--grid", "q3_k"];
}
