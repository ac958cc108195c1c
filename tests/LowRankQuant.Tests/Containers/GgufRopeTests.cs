using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Containers;

/// <summary>The rotary embedding of a GGUF file: the same angles as the model it was made from, old keys and new, or a refusal that names the key.</summary>
public class GgufRopeTests
{
    [Theory]
    [InlineData(8, 1, 4, 256)]
    [InlineData(32, 1, 4, 512)]
    [InlineData(4, 1, 4, 8192)]
    [InlineData(8, 2, 8, 1024)]
    [InlineData(16, 1, 2, 300)]
    [InlineData(2.5, 1.5, 4, 400)]
    [InlineData(8, 1, 32, 4096)]
    public async Task Llama3ScalingComesBackToTheSameAngles(double factor, double low, double high, int original)
    {
        using var folder = new TemporaryFolder();
        string model = Llama3(folder, factor, low, high, original), file = folder.File("m.gguf"), back = folder.File("back");
        CliResult written = await Lrq.Run("convert", model, "--to", "gguf", "--out", file);
        Assert.True(written.Code == 0, written.Error);
        using ICheckpoint source = CheckpointOpener.Open(model), read = CheckpointOpener.Open(file);
        AssertSameAngles(source.Config.Rope, read.Config.Rope);
        CliResult verified = await Lrq.Run("verify", file, "--against", model);
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        CliResult folderAgain = await Lrq.Run("convert", file, "--dtype", "fp32", "--out", back);
        Assert.True(folderAgain.Code == 0, folderAgain.Error);
        using ICheckpoint third = CheckpointOpener.Open(back);
        AssertSameAngles(source.Config.Rope, third.Config.Rope);
    }

    [Fact]
    public async Task ATableThatNoParametersGiveIsUsedAsItIsAndHasNoFolder()
    {
        using var folder = new TemporaryFolder();
        float[] table = [.. Enumerable.Range(0, 16).Select(j => 1 + (j % 3 * 0.25f))];
        string file = GgufEdit.Rewrite(await GgufEdit.Demo(folder), folder.File("table.gguf"), [], add: [PendingGgufTensor.FromSingles("rope_freqs.weight", GgmlType.F32, [16], table)]);
        using (ICheckpoint read = CheckpointOpener.Open(file))
        {
            double[] plain = RopeFrequencies.Compute(read.Config.Rope with { Scaling = RopeScaling.None }, 1), used = RopeFrequencies.Compute(read.Config.Rope, 1);
            for (int j = 0; j < table.Length; j++) Assert.Equal(plain[j] / table[j], used[j], plain[j] * 1e-9);
        }
        CliResult refused = await Lrq.Run("convert", file, "--out", folder.File("dense"));
        Assert.Equal(2, refused.Code);
        Assert.Contains("'rope_freqs.weight'", refused.Error, StringComparison.Ordinal);
        Assert.Contains("--to gguf", refused.Error, StringComparison.Ordinal);
        string copy = folder.File("copy.gguf");
        Assert.Equal(0, (await Lrq.Run("convert", file, "--to", "gguf", "--out", copy)).Code);
        CliResult same = await Lrq.Run("verify", copy, "--against", file);
        Assert.True(same.Code == 0, same.Out);
        // The plain model has other angles.
        CliResult other = await Lrq.Run("verify", file, "--against", TestData.Demo);
        Assert.Equal(1, other.Code);
        Assert.Contains("different: rotary frequencies: number 1 for 1 positions is", other.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task EqualDivisorsAreLinearScalingAndOnesAreNone()
    {
        using var folder = new TemporaryFolder();
        string demo = await GgufEdit.Demo(folder);
        Assert.Equal((RopeScaling.Linear, 4), Read(demo, folder, [], Enumerable.Repeat(4f, 16)));
        Assert.Equal((RopeScaling.None, 1), Read(demo, folder, [], Enumerable.Repeat(1f, 16)));
    }

    [Theory]
    [InlineData("scale_linear", 4f, null, RopeScaling.Linear, 4)]
    [InlineData("scaling.factor", 2f, null, RopeScaling.Linear, 2)]
    [InlineData("scaling.factor", 2f, "linear", RopeScaling.Linear, 2)]
    [InlineData("scaling.factor", 2f, "none", RopeScaling.None, 1)]
    [InlineData("scaling.factor", 0f, "linear", RopeScaling.None, 1)]
    [InlineData("scaling.factor", 4f, "yarn", RopeScaling.Yarn, 4)]
    public async Task FactorsCountAsTheEngineReadsThem(string key, float factor, string? type, RopeScaling scaling, double expected)
    {
        using var folder = new TemporaryFolder();
        Assert.Equal((scaling, expected), Read(await GgufEdit.Demo(folder), folder, [($"llama.rope.{key}", factor), ("llama.rope.scaling.type", type)]));
    }

    [Fact]
    public async Task YarnKeepsItsBordersAndItsTemperature()
    {
        using var folder = new TemporaryFolder();
        string model = DemoCopy.Create(folder, "yarn"), file = folder.File("yarn.gguf");
        DemoCopy.Edit(model, "config.json", json => json["rope_scaling"] = new JsonObject
        {
            ["rope_type"] = "yarn",
            ["factor"] = 4.0,
            ["original_max_position_embeddings"] = 128,
            ["beta_fast"] = 16.0,
            ["beta_slow"] = 2.0,
        });
        Assert.Equal(0, (await Lrq.Run("convert", model, "--to", "gguf", "--out", file)).Code);
        using (ICheckpoint source = CheckpointOpener.Open(model), read = CheckpointOpener.Open(file)) AssertSameAngles(source.Config.Rope, read.Config.Rope);
        string hot = GgufEdit.Rewrite(file, folder.File("hot.gguf"), [("llama.rope.scaling.attn_factor", 1.5f)]);
        using ICheckpoint scaled = CheckpointOpener.Open(hot);
        Assert.Equal(1.5 * ((0.1 * Math.Log(4)) + 1), RopeFrequencies.AttentionFactor(scaled.Config.Rope), 1e-6);
    }

    [Theory]
    [InlineData("llama.rope.scaling.type", "longrope", "'longrope'; none, linear and yarn are supported")]
    [InlineData("llama.rope.scaling.attn_factor", 2f, "'llama.rope.scaling.attn_factor' is 2")]
    [InlineData("llama.rope.scaling.factor", 0.5f, "'llama.rope.scaling.factor' is 0.5; it must be")]
    [InlineData("llama.rope.dimension_count", 16u, "'llama.rope.dimension_count' is 16; it must be the size of a head, 32")]
    [InlineData("llama.rope.dimension_sections", 16u, "'llama.rope.dimension_sections' is 16")]
    [InlineData("llama.attention.value_length", 16u, "'llama.attention.value_length' is 16; it must be that of the keys, 32")]
    [InlineData("llama.expert_count", 8u, "'llama.expert_count' is 8, and the file holds no tensor of experts")]
    [InlineData("llama.attention.sliding_window", 64u, "'llama.attention.sliding_window' is 64 (an attention window)")]
    [InlineData("llama.attention.causal", false, "'llama.attention.causal' is false")]
    [InlineData("llama.logit_scale", 0.5f, "'llama.logit_scale' is 0.5")]
    [InlineData("llama.attention.clamp_kqv", 8f, "'llama.attention.clamp_kqv' is 8")]
    [InlineData("llama.final_logit_softcapping", 30f, "'llama.final_logit_softcapping' is 30")]
    public async Task KeysThatAskForAnotherFunctionAreRefusedByName(string key, object value, string expected)
    {
        using var folder = new TemporaryFolder();
        string file = GgufEdit.Rewrite(await GgufEdit.Demo(folder), folder.File("other.gguf"), [(key, value)]);
        CliResult refused = await Lrq.Run("inspect", file);
        Assert.Equal(1, refused.Code);
        Assert.Contains(expected, refused.Error, StringComparison.Ordinal);
        Assert.Single(refused.Error.TrimEnd('\n').Split('\n'));
    }

    [Fact]
    public async Task NeutralKeysAreReadAndUnknownOnesAreNamed()
    {
        using var folder = new TemporaryFolder();
        string file = GgufEdit.Rewrite(
            await GgufEdit.Demo(folder), folder.File("more.gguf"),
            [("llama.logit_scale", 1f), ("llama.expert_count", 0u), ("llama.attention.head_count_kv", new uint[] { 4, 4, 4, 4 }), ("llama.surprise", 3u)]);
        CliResult shown = await Lrq.Run("inspect", file);
        Assert.Equal((0, ""), (shown.Code, shown.Error));
        Assert.Contains("warning: ", shown.Out, StringComparison.Ordinal);
        Assert.Contains("llama.surprise is no key that llama.cpp knows for this architecture; left out.", shown.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TensorsWithoutAPlaceAndBlocksThatAreNotWholeAreRefused()
    {
        using var folder = new TemporaryFolder();
        string demo = await GgufEdit.Demo(folder);
        await Refused(GgufEdit.Rewrite(demo, folder.File("a.gguf"), [("llama.block_count", 3u)]), "'blk.3'", "llama.block_count is 3");
        await Refused(GgufEdit.Rewrite(demo, folder.File("b.gguf"), [("llama.block_count", 5u)]), "tensors of 'blk.4' are absent", "llama.block_count is 5");
        await Refused(
            GgufEdit.Rewrite(demo, folder.File("c.gguf"), [], add: [PendingGgufTensor.FromSingles("blk.0.attn_q_norm.weight", GgmlType.F32, [32], new float[32])]),
            "'blk.0.attn_q_norm.weight' has no place in the llama architecture");
        await Refused(
            GgufEdit.Rewrite(demo, folder.File("d.gguf"), [], add: [PendingGgufTensor.FromSingles("rope_factors_long.weight", GgmlType.F32, [16], new float[16])]),
            "'rope_factors_long.weight' has no place");
    }

    private static async Task Refused(string file, params string[] parts)
    {
        CliResult refused = await Lrq.Run("inspect", file);
        Assert.Equal(1, refused.Code);
        foreach (string part in parts) Assert.Contains(part, refused.Error, StringComparison.Ordinal);
    }

    private static (RopeScaling Scaling, double Factor) Read(string demo, TemporaryFolder folder, (string, object?)[] keys, IEnumerable<float>? table = null)
    {
        string path = folder.File($"{Guid.NewGuid():N}.gguf");
        GgufEdit.Rewrite(demo, path, keys, add: table is null ? null : [PendingGgufTensor.FromSingles("rope_freqs.weight", GgmlType.F32, [16], [.. table])]);
        using ICheckpoint read = CheckpointOpener.Open(path);
        return (read.Config.Rope.Scaling, read.Config.Rope.Factor);
    }

    private static string Llama3(TemporaryFolder folder, double factor, double low, double high, int original)
    {
        string model = DemoCopy.Create(folder, "llama3");
        DemoCopy.Edit(model, "config.json", json => json["rope_scaling"] = new JsonObject
        {
            ["rope_type"] = "llama3",
            ["factor"] = factor,
            ["low_freq_factor"] = low,
            ["high_freq_factor"] = high,
            ["original_max_position_embeddings"] = original,
        });
        return model;
    }

    private static void AssertSameAngles(RopeConfig expected, RopeConfig actual)
    {
        double[] due = RopeFrequencies.Compute(expected, 1), have = RopeFrequencies.Compute(actual, 1);
        Assert.Equal(due.Length, have.Length);
        for (int j = 0; j < due.Length; j++) Assert.Equal(due[j], have[j], due[j] * 1e-6);
        Assert.Equal(RopeFrequencies.AttentionFactor(expected), RopeFrequencies.AttentionFactor(actual), 1e-6);
    }
}
