using System.Text.Json.Nodes;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Export;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Tests.EndToEnd;
using LowRankQuant.Tests.Models.Export;

namespace LowRankQuant.Tests.Containers;

/// <summary>Our own runs in every container that can hold them, and the misfits of those that cannot.</summary>
public class ExportTests
{
    private static readonly string[] Containers = ["gptq", "awq", "compressed-tensors", "mlx", "dense"];

    // What every container says of a run: what its configuration must show, or the rule that the run breaks ("!").
    [Theory]
    [InlineData("--bits 4 --group-size 64 --scale-dtype fp16", "gptq_v2", "64", "group", "!more digits")]
    [InlineData("--bits 4 --symmetric --scale-dtype bf16", "gptq", "128", "channel", "128")]
    [InlineData("--bits 4 --scale-dtype fp32", "!fp16", "!fp16", "channel", "!more digits")]
    [InlineData("--bits 3 --group-size 32 --symmetric --scale-dtype fp16", "gptq_v2", "!AWQ has 4", "group", "32")]
    [InlineData("--bits 3 --scale-dtype fp16", "gptq_v2", "!AWQ has 4", "channel", "!more digits")]
    [InlineData("--bits 2 --group-size 128 --scale-dtype fp16", "gptq_v2", "!AWQ has 4", "group", "128")]
    [InlineData("--bits 5 --group-size 64 --symmetric --scale-dtype fp16", "!GPTQ has 2, 3, 4 and 8", "!AWQ has 4", "group", "64")]
    public async Task ARunIsTheSameInEveryContainerThatCanHoldIt(string scheme, string gptq, string awq, string compressed, string mlx)
    {
        using var folder = new TemporaryFolder();
        string run = folder.File("run");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(run, scheme.Split(' ')))).Code);
        foreach ((string container, string expected) in Containers.Zip([gptq, awq, compressed, mlx, ""]))
        {
            string output = folder.File(container);
            CliResult result = await Lrq.Run("export", run, "--to", container, "--out", output);
            if (expected.StartsWith('!'))
            {
                Assert.Equal(2, result.Code);
                Assert.Contains(expected[1..], result.Error, StringComparison.Ordinal);
                Assert.False(Directory.Exists(output));
                continue;
            }
            Assert.Equal((0, ""), (result.Code, result.Error));
            JsonNode config = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "config.json")))!;
            string? found = container switch
            {
                "gptq" => config["quantization_config"]!["checkpoint_format"]!.ToString(),
                "awq" => config["quantization_config"]!["group_size"]!.ToString(),
                "mlx" => config["quantization"]!["group_size"]!.ToString(),
                "dense" => config["quantization_config"]?.ToString() ?? "",
                _ => config["quantization_config"]!["config_groups"]!["group_0"]!["weights"]!["strategy"]!.ToString(),
            };
            Assert.Equal(expected, found);
            Assert.True(File.Exists(Path.Combine(output, "tokenizer.json")));
            CliResult verified = await Lrq.Run("verify", output, "--against", run, "--json");
            Assert.True(verified.Code == 0, $"{container}: {verified.Out}{verified.Error}");
            Assert.Equal(container == "dense" ? 0 : 28, (int)JsonNode.Parse(verified.Out)!["comparedByCodes"]!);
        }
        Assert.DoesNotContain(Directory.EnumerateDirectories(folder.Path), path => path.EndsWith(".partial", StringComparison.Ordinal));
    }

    [Fact]
    public async Task LearnedCodesArriveAndTheExportMeasuresTheSame()
    {
        using var folder = new TemporaryFolder();
        string run = folder.File("run"), text = Path.Combine(TestData.Demo, "evaluation.txt");
        Assert.Equal(0, (await Lrq.Run(Lrq.SmallRun(run))).Code);
        double[] measured = new double[2];
        string output = folder.File("gptq");
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "gptq", "--out", output)).Code);
        Assert.Equal(0, (await Lrq.Run("verify", output, "--against", run)).Code);
        string[] models = [run, output];
        for (int i = 0; i < models.Length; i++)
        {
            CliResult result = await Lrq.Run("eval", models[i], "--text", text, "--windows", "1", "--threads", "1", "--json");
            Assert.True(result.Code == 0, result.Error);
            measured[i] = (double)JsonNode.Parse(result.Out.TrimEnd().Split('\n')[^1])!["perplexity"]!;
        }
        Assert.Equal(measured[0], measured[1], 1e-6 * measured[0]);
    }

    [Fact]
    public async Task AGgufFileHoldsTheRunsValuesAndItsBranchesBesideIt()
    {
        using var folder = new TemporaryFolder();
        string run = await RunWithBranches(folder, 3, 12), output = folder.File("model.gguf");
        CliResult result = await Lrq.Run("export", run, "--to", "gguf", "--out", output, "--json");
        Assert.True(result.Code == 0, result.Error);
        Assert.Equal(folder.File("model.lora.gguf"), JsonNode.Parse(result.Out)!["adapter"]!.ToString());
        Assert.True(File.Exists(folder.File("model.lora.gguf")));
        CliResult verified = await Lrq.Run("verify", output, "--against", run, "--json");
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        JsonNode report = JsonNode.Parse(verified.Out)!;
        Assert.Equal(("GGUF file", (int)report["tensors"]!), (report["kind"]!.ToString(), (int)report["comparedByValues"]!));
        Assert.Equal(28, (int)report["comparedByCodes"]!);
        Assert.Equal((2, 0), ((int)report["branches"]!, report["notes"]!.AsArray().Count));
        CliResult again = await Lrq.Run("export", run, "--to", "gguf", "--out", output);
        Assert.Equal(2, again.Code);
        Assert.Contains("is there already", again.Error, StringComparison.Ordinal);
        CliResult refused = await Lrq.Run("convert", TestData.Path("golden", "gptq", "w4-g32-asym-desc_act-v2"), "--to", "gguf", "--out", folder.File("other.gguf"));
        Assert.Equal(2, refused.Code);
        Assert.Contains("activation order", refused.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("peft", null, 12)]
    [InlineData("peft-padded", null, 16)]
    [InlineData("peft-padded", "16", 16)]
    public async Task BranchesAreWrittenAsPeftBesideTheBase(string kind, string? maxRank, int rank)
    {
        using var folder = new TemporaryFolder();
        string run = await RunWithBranches(folder, 3, 12), output = folder.File("out");
        string[] limit = maxRank is null ? [] : ["--max-rank", maxRank];
        CliResult result = await Lrq.Run(["export", run, "--to", "compressed-tensors", "--adapter", kind, "--out", output, .. limit]);
        Assert.Equal((0, ""), (result.Code, result.Error));
        using PeftAdapter adapter = PeftAdapter.Open(Path.Combine(output, "adapter"));
        Assert.Equal(kind == "peft" ? 2 : 28, adapter.Modules.Count);
        Assert.Equal(rank, adapter.Modules.Max(adapter.RankOf));
        JsonNode config = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "adapter", "adapter_config.json")))!;
        Assert.Equal((rank, rank), ((int)config["r"]!, (int)config["lora_alpha"]!));
        Assert.Equal(kind == "peft" ? 1 : 0, config["rank_pattern"]!.AsObject().Count);
        Assert.Equal(0, (await Lrq.Run("verify", output, "--against", run)).Code);
        // Nothing named: the same as peft. The base alone is not the run.
        string plain = folder.File("plain");
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "gptq", "--out", plain)).Code);
        Assert.Equal(0, (await Lrq.Run("verify", plain, "--against", run)).Code);
        Directory.Delete(Path.Combine(plain, "adapter"), recursive: true);
        CliResult alone = await Lrq.Run("verify", plain, "--against", run);
        Assert.Equal(1, alone.Code);
        Assert.Contains("the run has low-rank branches", alone.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task RanksAndAdaptersThatDoNotFitAreRefused()
    {
        using var folder = new TemporaryFolder();
        string run = await RunWithBranches(folder, 3, 12), output = folder.File("out");
        async Task<string> Refused(params string[] more)
        {
            CliResult result = await Lrq.Run(["export", run, "--out", output, .. more]);
            Assert.Equal(2, result.Code);
            Assert.False(Directory.Exists(output));
            return result.Error;
        }

        Assert.Contains("rank 12, and at most 8", await Refused("--to", "gptq", "--adapter", "peft-padded", "--max-rank", "8"), StringComparison.Ordinal);
        Assert.Contains("--max-rank 16", await Refused("--to", "gptq", "--adapter", "peft-padded", "--max-rank", "14"), StringComparison.Ordinal);
        Assert.Contains("do not load it", await Refused("--to", "mlx", "--adapter", "peft"), StringComparison.Ordinal);
        Assert.Contains("--to dense", await Refused("--to", "mlx"), StringComparison.Ordinal);
        // Dense adds the branches to the weights.
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "dense", "--dtype", "fp32", "--out", output)).Code);
        Assert.False(Directory.Exists(Path.Combine(output, "adapter")));
        Assert.Equal(0, (await Lrq.Run("verify", output, "--against", run)).Code);
    }

    [Fact]
    public async Task AnExistingModelIsReplacedOnlyWhenAskedAndOtherFilesStay()
    {
        using var folder = new TemporaryFolder();
        string run = folder.File("run"), output = folder.File("out");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(run, "--bits", "4", "--symmetric"))).Code);
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "gptq", "--out", output, "--shard-size", "1M")).Code);
        File.WriteAllText(Path.Combine(output, "notes.txt"), "mine");
        CliResult refused = await Lrq.Run("export", run, "--to", "awq", "--out", output);
        Assert.Equal(2, refused.Code);
        Assert.Contains("--overwrite", refused.Error, StringComparison.Ordinal);
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "awq", "--out", output, "--overwrite")).Code);
        Assert.Equal("mine", File.ReadAllText(Path.Combine(output, "notes.txt")));
        Assert.Single(Directory.GetFiles(output, "*.safetensors"));
        using HuggingFaceCheckpoint model = HuggingFaceCheckpoint.Open(output);
        Assert.Equal("awq folder", model.Kind);
        Assert.Equal(0, (await Lrq.Run("verify", output, "--against", run)).Code);
        Assert.Equal(0, (await Lrq.Run("export", run, "--to", "compressed-tensors", "--out", output, "--overwrite")).Code);
        Assert.False(File.Exists(Path.Combine(output, "quantize_config.json")));
    }

    [Fact]
    public async Task ARunOnATwoLevelGridGoesToGgufAndIsTheSameThere()
    {
        using var folder = new TemporaryFolder();
        string run = folder.File("run"), output = folder.File("q3_k.gguf");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(run, "--grid", "q3_k"))).Code);
        CliResult result = await Lrq.Run("export", run, "--to", "gguf", "--out", output);
        Assert.Equal((0, ""), (result.Code, result.Error));
        CliResult verified = await Lrq.Run("verify", output, "--against", run, "--json");
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        JsonNode report = JsonNode.Parse(verified.Out)!;
        Assert.Equal(((int)report["tensors"]!, 28), ((int)report["comparedByValues"]!, (int)report["comparedByCodes"]!));
        CliResult refused = await Lrq.Run("export", run, "--to", "gptq", "--out", folder.File("gptq"));
        Assert.Equal(2, refused.Code);
        Assert.Contains("two levels of scales, which only gguf holds", refused.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void TwoLevelGridsFitGgufAlone()
    {
        using var model = new GridCheckpoint(HuggingFaceCheckpoint.Open(TestData.Demo), name =>
            name.Contains("down_proj", StringComparison.Ordinal) ? TwoLevelGrid.Q3K : new UniformGrid(4, true, Granularity.Group, 32));
        var source = new ExportSource(model);
        Assert.Equal((24, 4, 0, 0), (source.Linears.Count, source.TwoLevel.Count, source.OffGrid.Count, source.DenseLinears.Count));
        var options = new ExportOptions { Output = "nowhere" };
        foreach (IExporter exporter in Exporters.All)
        {
            IReadOnlyList<string> problems = exporter.FindProblems(source, options);
            Assert.Equal(exporter is FolderExporter ? 4 : 0, problems.Count(problem => problem.Contains("only gguf holds", StringComparison.Ordinal)));
            if (exporter is not FolderExporter) Assert.Empty(problems);
        }
    }

    [Fact]
    public void ScalesAreRepeatedWithoutChange()
    {
        byte[] codes = [.. Enumerable.Range(0, 16).Select(i => (byte)i)];
        var rows = new UniformWeight(2, 8, new UniformGrid(4, false, Granularity.Channel), codes, [0.5f, -2], [3, 9], ScaleType.BFloat16);
        UniformWeight put = StoredGrid.Put(rows, new UniformGrid(4, false, Granularity.Group, 2), ScaleType.Float16);
        Assert.Equal([0.5f, 0.5f, 0.5f, 0.5f, -2, -2, -2, -2], put.Scales);
        Assert.Equal(new byte[] { 3, 3, 3, 3, 9, 9, 9, 9 }, put.ZeroPoints);
        float[] expected = new float[16], actual = new float[16];
        rows.Dequantize(expected);
        put.Dequantize(actual);
        Assert.Equal(expected, actual);
        var tensor = new UniformWeight(2, 8, new UniformGrid(4, true, Granularity.Tensor), codes, [0.25f], null, ScaleType.Float32);
        put = StoredGrid.Put(tensor, new UniformGrid(4, false, Granularity.Channel), ScaleType.Float16);
        Assert.Equal([0.25f, 0.25f], put.Scales);
        Assert.Equal(new byte[] { 8, 8 }, put.ZeroPoints);
        Assert.Equal(64, StoredGrid.GroupSize(192, [32, 64, 128]));
        Assert.Equal(0, StoredGrid.GroupSize(16, [32, 64, 128]));
    }

    /// <summary>A rounded demo with branches of two ranks on two of its linears.</summary>
    internal static async Task<string> RunWithBranches(TemporaryFolder folder, params int[] ranks)
    {
        string run = folder.File("run");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(run, "--bits", "4", "--symmetric", "--group-size", "64", "--scale-dtype", "fp16"))).Code);
        var random = new Random(5);
        float[] Halves(int count) => [.. Enumerable.Range(0, count).Select(_ => StorageScale.RoundAny((float)((random.NextDouble() - 0.5) / 50), ScaleType.Float16))];
        AdapterModule[] modules = [.. ranks.Select((rank, i) =>
        {
            float[] a = Halves(rank * 256), b = Halves(256 * rank);
            return new AdapterModule($"model.layers.{i}.self_attn.q_proj", 256, 256, rank, () => a, () => b);
        })];
        PeftAdapterWriter.Write(Path.Combine(run, "adapter"), modules, SafetensorsType.F16, AdapterForm.Pattern, "..", 16);
        return run;
    }
}
