using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.SmallFloats;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.EndToEnd;
using LowRankQuant.Tests.Models;

namespace LowRankQuant.Tests.Sources;

/// <summary>Weights in small floats whose groups share a scale (MXFP4, NVFP4, MXFP8), as compressed-tensors and MLX store them.</summary>
public sealed class MicroFormatTests
{
    private const string Module = "model.layers.0.mlp.down_proj";

    public static TheoryData<string> Folders => ["mxfp4a16", "nvfp4a16", "mxfp8a16", "mlx-4-32-mxfp4", "mlx-4-16-nvfp4", "mlx-8-32-mxfp8"];

    [Theory]
    [MemberData(nameof(Folders))]
    public void EveryValueIsTheLibrarys(string name)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "exports-2026", name + ".golden.safetensors"));
        using ICheckpoint model = CheckpointOpener.Open(TestData.Path("golden", "exports-2026", name));
        string[] decoded = [.. golden.Names.Where(tensor => tensor.EndsWith(".dequant_f32", StringComparison.Ordinal))];
        Assert.True(decoded.Length >= 3);
        foreach (string tensor in decoded)
        {
            float[] expected = new float[golden.Tensors[tensor].ElementCount], actual = new float[expected.Length];
            golden.ReadSingles(tensor, expected);
            string part = tensor[..^".dequant_f32".Length];
            model.Read(model.TensorNames.Single(stored => stored.EndsWith(part[(part.IndexOf("0.", StringComparison.Ordinal))..] + ".weight", StringComparison.Ordinal)), actual);
            Assert.Equal(expected, actual);
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void LogitsAreTheLibrarys(string name)
    {
        using SafetensorsFile golden = SafetensorsFile.Open(TestData.Path("golden", "exports-2026", name + ".golden.safetensors"));
        string logits = name.StartsWith("mlx", StringComparison.Ordinal) ? "logits_f32" : "logits_weights_f32";
        var ids = new long[golden.Tensors["input_ids"].ElementCount];
        golden.Read("input_ids", ids.AsSpan());
        float[] expected = new float[golden.Tensors[logits].ElementCount];
        golden.ReadSingles(logits, expected);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using CausalModel model = ModelSource.Open(TestData.Path("golden", "exports-2026", name), device, use: ModelUse.Forward);
        int length = (int)golden.ShapeOf("input_ids")[^1], size = length * model.Config.VocabularySize;
        for (int i = 0; i < ids.Length / length; i++)
        {
            float[] actual = ForwardTrace.Of(model, [.. ids.AsSpan(i * length, length).ToArray().Select(id => (int)id)]).Logits;
            Assert.InRange(ForwardTrace.RelativeError(expected.AsSpan(i * size, size), actual), 0, 1e-4);
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task FoldersCanBeLookedAtVerifiedAndConverted(string name)
    {
        string source = TestData.Path("golden", "exports-2026", name);
        foreach (string command in new[] { "inspect", "verify" })
        {
            CliResult result = await Lrq.Run(command, source);
            Assert.True(result.Code == 0, result.Error);
        }
        using var folder = new TemporaryFolder();
        CliResult dense = await Lrq.Run("convert", source, "--to", "dense", "--dtype", "fp32", "--out", folder.File("out"));
        Assert.True(dense.Code == 0, dense.Error);
        using ICheckpoint before = CheckpointOpener.Open(source), after = CheckpointOpener.Open(folder.File("out"));
        (int rows, int columns) = (before.Layout.Modules.First().OutFeatures, before.Layout.Modules.First().InFeatures);
        float[] expected = new float[rows * columns], actual = new float[expected.Length];
        before.Read(before.Layout.Modules.First().Name + ".weight", expected);
        after.Read(before.Layout.Modules.First().Name + ".weight", actual);
        Assert.Equal(expected, actual);
    }

    [Theory]
    [InlineData("mxfp4a16", "MXFP4")]
    [InlineData("nvfp4a16", "NVFP4")]
    [InlineData("mxfp8a16", "MXFP8")]
    [InlineData("fp8-block", "FP8 E4M3, blocks of 128 x 128")]
    [InlineData("fp8-dynamic", "FP8 E4M3, a scale a row")]
    [InlineData("mlx-4-32-mxfp4", "MXFP4")]
    public async Task APlanSaysWhatTheSourceHasLostAlready(string name, string type)
    {
        CliResult plan = await Lrq.Run("plan", TestData.Path("golden", "exports-2026", name), "--method", "rtn", "--bits", "4", "--untimed");
        Assert.Matches($"its linears are .*{type}", plan.Out + plan.Error);
        Assert.Contains("when the source was made, rounding took about ", plan.Out + plan.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("fp8-block")]
    [InlineData("fp8-dynamic")]
    public async Task EightBitFloatsOfInputsAreLeftOutWhereTheWeightsAreQuantizedOtherwise(string name)
    {
        using var folder = new TemporaryFolder();
        CliResult run = await Lrq.Run("quantize", TestData.Path("golden", "exports-2026", name), "--method", "rtn", "--bits", "4", "--group-size", "32", "--out", folder.File("out"));
        Assert.True(run.Code == 0, run.Error);
        const string told = "are left out: inputs are computed in full, and a result does not ask an engine to quantize them.";
        Assert.Contains(told, run.Out + run.Error, StringComparison.Ordinal);
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(folder.File("out"), "report.json")))!;
        Assert.Single(report["warnings"]!.AsArray(), warning => ((string)warning!).EndsWith(told, StringComparison.Ordinal));
        CliResult plan = await Lrq.Run("plan", TestData.Path("golden", "exports-2026", name), "--method", "rtn", "--bits", "4", "--group-size", "32", "--untimed", "--json");
        Assert.Single(JsonNode.Parse(plan.Out)!["notes"]!.AsArray(), note => ((string)note!).EndsWith(told, StringComparison.Ordinal));
        using ICheckpoint result = CheckpointOpener.Open(folder.File("out"));
        Assert.Null(result.Quantizers);
        Assert.NotNull(result.ReadQuantized(Module + ".weight"));
    }

    /// <summary>Random weights, stored: what their cells say was lost is what was. It is up to a sixth more for 4 bits, within whose wide cells small numbers are the more frequent ones.</summary>
    [Theory]
    [InlineData("mxfp4a16")]
    [InlineData("nvfp4a16")]
    [InlineData("mxfp8a16")]
    [InlineData("fp8-block")]
    public void WhatRoundingLostFollowsFromTheCodes(string name)
    {
        const int rows = 64, columns = 256;
        SeededRandom random = SeededRandom.Derive(4);
        double[] weights = [.. Enumerable.Range(0, rows * columns).Select(_ => random.NextGaussian())];
        MicroFormat? format = MicroFormat.Find(name.Replace("a16", "", StringComparison.Ordinal));
        int group = format?.GroupSize ?? columns;
        float[] levels = (format ?? MicroFormat.Mxfp8).Levels.ToArray();
        double largest = levels.Where(float.IsFinite).Max(), kept = 0, lost = 0;
        var loss = new RoundingLoss();
        double[] errors = LevelCells.Errors(levels);
        for (int start = 0; start < weights.Length; start += group)
        {
            double scale = weights.AsSpan(start, group).ToArray().Max(Math.Abs) / largest;
            foreach (double weight in weights.AsSpan(start, group))
            {
                int code = Enumerable.Range(0, levels.Length).Where(i => float.IsFinite(levels[i])).MinBy(i => Math.Abs((levels[i] * scale) - weight));
                (kept, lost) = (kept + (weight * weight), lost + Math.Pow((levels[code] * scale) - weight, 2));
                loss.Add(levels[code] * scale, errors[code] * scale * scale);
            }
        }
        Assert.InRange(loss.Relative, 0.95 * Math.Sqrt(lost / kept), (format?.CodeBits == 4 ? 1.2 : 1.1) * Math.Sqrt(lost / kept));
    }

    [Fact]
    public void CodesAndScalesHaveTheValuesOfTheirFormats()
    {
        Assert.Equal([0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0f, -0.5f, -1, -1.5f, -2, -3, -4, -6], MicroFormat.Mxfp4.Levels.ToArray());
        Assert.Equal((1f, -448f, 0.001953125f), (MicroFormat.Mxfp8.Levels[0x38], MicroFormat.Mxfp8.Levels[0xFE], MicroFormat.Mxfp8.Levels[1]));
        Assert.Equal((1f, 2f, 5.877471754111438e-39f), (MicroFormat.Mxfp4.ScaleOf(127), MicroFormat.Mxfp8.ScaleOf(128), MicroFormat.Mxfp4.ScaleOf(0)));
        Assert.Equal((1f, 448f), (MicroFormat.Nvfp4.ScaleOf(0x38), MicroFormat.Nvfp4.ScaleOf(0x7E)));
        Assert.True(float.IsNaN(MicroFormat.Mxfp4.ScaleOf(255)) && float.IsNaN(MicroFormat.Nvfp4.ScaleOf(0x7F)));
    }

    [Theory]
    [InlineData("\"group_size\": 32", "\"group_size\": 64", "mxfp4-pack-quantized (4-bit floats in groups of 64) is not read")]
    [InlineData("\"format\": \"mxfp4-pack-quantized\"", "\"format\": \"mxfp8-quantized\"", "mxfp8-quantized (4-bit floats in groups of 32) is not read")]
    [InlineData("\"format\": \"mxfp4-pack-quantized\"", "\"format\": \"mxfp6-pack-quantized\"", "mxfp6-pack-quantized (4-bit floats in groups of 32) is not read")]
    public void OtherFormatsAreNamedBeforeAnyTensor(string from, string to, string message)
    {
        using var folder = new TemporaryFolder();
        string source = Copied(folder, "mxfp4a16", config => config.Replace(from, to, StringComparison.Ordinal));
        CheckpointFormatException failure = Assert.Throws<CheckpointFormatException>(() => CheckpointOpener.Open(source));
        Assert.Contains("[unsupported-weights]", failure.Message, StringComparison.Ordinal);
        Assert.Contains(message, failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("nvfp4a16", ".weight_global_scale", "", "is missing|lacks this tensor")]
    [InlineData("nvfp4a16", ".weight_global_scale", "zero", "is 0, and scales are divided by it")]
    [InlineData("nvfp4a16", ".weight_scale", "nan", "holds 127 in row 0, which stands for no number")]
    [InlineData("mxfp4a16", ".weight_scale", "nan", "holds 255 in row 0, which stands for no number")]
    [InlineData("mxfp4a16", ".weight_scale", "cut", "in groups of 32, on [64, ")]
    [InlineData("mxfp8a16", ".weight_scale", "cut", "in groups of 32, on [64, ")]
    public void UnsoundScalesAreRefusedByName(string name, string end, string damage, string message)
    {
        using var folder = new TemporaryFolder();
        string source = Copied(folder, name, null, tensors =>
        {
            StoredTensor scale = tensors[Module + end];
            if (damage.Length == 0) tensors.Remove(Module + end);
            else if (damage == "zero") tensors[Module + end] = scale with { Bytes = new byte[4] };
            else if (damage == "nan") scale.Bytes[0] = (byte)(name[0] == 'n' ? 0x7F : 0xFF);
            else tensors[Module + end] = new StoredTensor(scale.Type, [scale.Shape[0], scale.Shape[1] / 2], scale.Bytes[..(scale.Bytes.Length / 2)]);
        });
        CheckpointFormatException failure = Assert.Throws<CheckpointFormatException>(() =>
        {
            using ICheckpoint model = CheckpointOpener.Open(source);
            model.Read(Module + ".weight", new float[64 * 128]);
        });
        Assert.Contains(Module, failure.Message, StringComparison.Ordinal);
        Assert.Contains(message.Split('|'), part => failure.Message.Contains(part, StringComparison.Ordinal));
    }

    [Fact]
    public void AnMlxModeHasItsOwnBitsAndGroups()
    {
        using var folder = new TemporaryFolder();
        string source = Copied(folder, "mlx-4-16-nvfp4", config => config.Replace("\"group_size\": 16", "\"group_size\": 32", StringComparison.Ordinal));
        Assert.Contains("'nvfp4' has 4 bits in groups of 16; bits is 4 and group_size 32", Assert.Throws<CheckpointFormatException>(() => CheckpointOpener.Open(source)).Message, StringComparison.Ordinal);
    }

    private static string Copied(TemporaryFolder folder, string name, Func<string, string>? config, Action<Dictionary<string, StoredTensor>>? tensors = null)
    {
        string path = folder.File("m"), file = Path.Combine(path, "model.safetensors");
        Directory.CreateDirectory(path);
        string json = JsonNode.Parse(File.ReadAllText(TestData.Path("golden", "exports-2026", name, "config.json")))!.ToJsonString(new() { WriteIndented = true });
        string changed = config is null ? json : config(json);
        Assert.True(config is null || changed != json);
        File.WriteAllText(Path.Combine(path, "config.json"), changed);
        Dictionary<string, StoredTensor> all = AlteredDemo.Read(TestData.Path("golden", "exports-2026", name, "model.safetensors"));
        tensors?.Invoke(all);
        AlteredDemo.Write(file, all);
        return path;
    }
}
