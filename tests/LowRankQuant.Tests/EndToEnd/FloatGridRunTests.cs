using System.Text.Json.Nodes;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Runs onto grids of floats: what is written, what learning gains, stopping and going on, what does not go together.</summary>
public sealed class FloatGridRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string> Schemes => new()
    {
        { "fp8", "float-quantized" }, { "fp8-block", "float-quantized" }, { "mxfp8a16", "mxfp8-quantized" }, { "mxfp4a16", "mxfp4-pack-quantized" }, { "nvfp4a16", "nvfp4-pack-quantized" },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Schemes))]
    public async Task WhatIsWrittenIsWhatWasComputed(string scheme, string format)
    {
        string output = _folder.File("out");
        CliResult run = await Lrq.Run(Lrq.Rounding(output, "--scheme", scheme));
        Assert.True(run.Code == 0, run.Error);
        JsonNode config = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "config.json")))!["quantization_config"]!;
        Assert.Equal((format, "compressed-tensors"), ((string)config["format"]!, (string)config["quant_method"]!));
        FloatGrid grid = FloatGrid.Find(scheme.Replace("a16", "", StringComparison.Ordinal))!;
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var original = new CausalModel(CheckpointOpener.Open(TestData.Demo), device);
        using ICheckpoint written = CheckpointOpener.Open(output);
        Assert.Equal(scheme.StartsWith("fp8", StringComparison.Ordinal), written.Quantizers is not null);
        foreach ((string linear, int outFeatures, int inFeatures) in original.Linears)
        {
            string tensor = $"{original.BlockName(1)}.{linear}.weight";
            var weight = new float[outFeatures * inFeatures];
            original.Checkpoint.Read(tensor, weight);
            var read = Assert.IsType<FloatWeight>(written.ReadQuantized(tensor));
            Assert.Equal(grid, read.Grid);
            Assert.Equal(grid.StoredBits(outFeatures, inFeatures, ScaleType.BFloat16), written.StoredBitsOf(tensor));
            if (grid.Scaling == FloatScaling.Float8) continue;
            var rounded = (FloatWeight)FittedGrid.Find(weight, outFeatures, inFeatures, new Scheme(grid, GridStart.MinMax, ScaleType.BFloat16), device.HostWorkers).Round(weight, default, device.HostWorkers);
            Assert.Equal(rounded.Codes, read.Codes);
            Assert.Equal(rounded.Scales, read.Scales);
        }
        foreach (string command in new[] { "inspect", "verify" })
        {
            CliResult looked = await Lrq.Run(command, output);
            Assert.True(looked.Code == 0, looked.Error);
        }
    }

    /// <summary>Engines run q, k, v and gate, up as one matrix with one scale of the matrix.</summary>
    [Fact]
    public async Task LinearsThatAreFusedShareTheScaleOfTheMatrix()
    {
        string output = _folder.File("out");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(output, "--scheme", "nvfp4a16"))).Code);
        using ICheckpoint written = CheckpointOpener.Open(output);
        float Divisor(string linear) => ((FloatWeight)written.ReadQuantized($"model.layers.2.{linear}.weight")!).Divisor;
        Assert.Equal(Divisor("self_attn.q_proj"), Divisor("self_attn.k_proj"));
        Assert.Equal(Divisor("self_attn.q_proj"), Divisor("self_attn.v_proj"));
        Assert.Equal(Divisor("mlp.gate_proj"), Divisor("mlp.up_proj"));
        Assert.NotEqual(Divisor("self_attn.q_proj"), Divisor("self_attn.o_proj"));
    }

    [Theory]
    [InlineData("lrq", "nvfp4a16")]
    [InlineData("lrq", "mxfp4a16")]
    [InlineData("flexround", "nvfp4a16")]
    [InlineData("lrq", "mxfp8a16")]
    public async Task LearningComesNearerThanRounding(string method, string scheme)
    {
        string output = _folder.File("out");
        string[] run = [.. Lrq.SmallRun(output, iterations: 40).Select(word => word == "lrq" ? method : word)];
        int bits = Array.IndexOf(run, "--bits"), rank = Array.IndexOf(run, "--rank");
        run = [.. run.Where((_, i) => i != bits && i != bits + 1 && (method == "lrq" || (i != rank && i != rank + 1))), "--scheme", scheme];
        CliResult result = await Lrq.Run(run);
        Assert.True(result.Code == 0, result.Error);
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "report.json")))!;
        // What is learned is the loss of blocks; so few steps on so little text say nothing about the model yet.
        Assert.All(report["blocks"]!.AsArray(), block =>
        {
            Assert.True((double)block!["lossAfter"]! < (double)block["lossBefore"]!);
            Assert.True((double)block["heldOutLoss"]! < (double)block["heldOutLossBefore"]!);
        });
    }

    [Theory]
    [InlineData("nvfp4a16")]
    [InlineData("mxfp4a16")]
    public async Task WeightsTakeUpTheErrorsOfThoseBefore(string scheme)
    {
        string output = _folder.File("out");
        CliResult run = await Lrq.Run(
            "quantize", "demo", "--method", "gptq", "--scheme", scheme, "--samples", "8", "--held-out", "2", "--sequence-length", "128", "--eval-windows", "1", "--threads", "1", "--out", output);
        Assert.True(run.Code == 0, run.Error);
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "report.json")))!;
        Assert.All(report["blocks"]!.AsArray().SelectMany(block => block!["layers"]!.AsArray()), layer => Assert.True((double)layer!["errorAfter"]! < (double)layer["errorBefore"]!, $"{layer}"));
        using ICheckpoint written = CheckpointOpener.Open(output);
        Assert.IsType<FloatWeight>(written.ReadQuantized("model.layers.0.mlp.down_proj.weight"));
    }

    [Fact]
    public async Task StoppingChangesNoByte()
    {
        string one = _folder.File("one"), two = _folder.File("two");
        string[] Run(string output, int threads) => [.. Lrq.SmallRun(output, threads).Where(word => word is not ("--bits" or "3")), "--scheme", "nvfp4a16", "--layers", "down_proj=8:32"];
        CliResult whole = await Lrq.Run(Run(one, 1));
        Assert.True(whole.Code == 0, whole.Error);
        using (var run = new LrqProcess(Run(two, 1)))
        {
            if (run.WaitUntil(() => File.Exists(Path.Combine(two, RunFolder.WorkName, "blocks", "block-00001.safetensors")))) run.Kill();
        }
        CliResult resumed = await Lrq.Run(Run(two, 2));
        Assert.True(resumed.Code == 0, resumed.Error);
        Assert.Equal(Lrq.Bytes(one), Lrq.Bytes(two));
        JsonNode config = JsonNode.Parse(File.ReadAllText(Path.Combine(one, "config.json")))!["quantization_config"]!;
        Assert.Equal("mixed-precision", (string)config["format"]!);
        using ICheckpoint written = CheckpointOpener.Open(one);
        Assert.IsType<UniformWeight>(written.ReadQuantized("model.layers.0.mlp.down_proj.weight"));
    }

    [Fact]
    public async Task TheRecipeOfAResultMakesItAgain()
    {
        string first = _folder.File("first"), second = _folder.File("second");
        Assert.Equal(0, (await Lrq.Run(Lrq.Rounding(first, "--scheme", "fp8-block"))).Code);
        CliResult again = await Lrq.Run("quantize", "demo", "--recipe", first, "--eval-windows", "1", "--threads", "1", "--out", second);
        Assert.True(again.Code == 0, again.Error);
        Assert.Equal(Lrq.Hashes(first, name => name.EndsWith("model.safetensors", StringComparison.Ordinal)), Lrq.Hashes(second, name => name.EndsWith("model.safetensors", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task FourBitFloatsGoIntoAFileOfLlamaCpp()
    {
        string output = _folder.File("out"), file = _folder.File("m.gguf");
        CliResult run = await Lrq.Run(Lrq.Rounding(output, "--grid", "mxfp4", "--target", "llama.cpp"));
        Assert.True(run.Code == 0, run.Error);
        CliResult exported = await Lrq.Run("export", output, "--to", "gguf", "--out", file);
        Assert.True(exported.Code == 0, exported.Error);
        CliResult verified = await Lrq.Run("verify", file, "--against", output);
        Assert.True(verified.Code == 0, verified.Error);
        using ICheckpoint codes = CheckpointOpener.Open(output), blocks = CheckpointOpener.Open(file);
        const string tensor = "model.layers.1.mlp.down_proj.weight";
        float[] expected = new float[256 * 768], actual = new float[expected.Length];
        codes.Read(tensor, expected);
        blocks.Read(tensor, actual);
        Assert.Equal("MXFP4", blocks.BlockTypeOf(tensor));
        Assert.Equal(expected, actual);
    }

    [Theory]
    [InlineData("--grid mxfp4 --method flrq", "works on integers")]
    [InlineData("--grid mxfp4 --bits 3", "--bits 3 contradicts --grid mxfp4")]
    [InlineData("--grid nvfp4 --group-size 32", "groups of 16")]
    [InlineData("--grid fp8 --symmetric false", "no zero points")]
    [InlineData("--grid fp5", "mxfp4")]
    [InlineData("--grid mxfp4 --activations 8:token", "products are of one kind")]
    [InlineData("--grid mxfp4 --activations fp8:token", "need weights that are 8-bit floats too")]
    [InlineData("--scheme w8a8 --grid fp8", "contradicts --scheme w8a8")]
    [InlineData("--scheme nvfp4a16-g32", "unknown")]
    [InlineData("--scheme fp8 --target gptq", "no place")]
    [InlineData("--grid fp8 --target llama.cpp", "the only one for floats is MXFP4")]
    [InlineData("--grid mxfp4 --layers down_proj=q4_k", "not stored in one result")]
    public async Task WhatDoesNotGoTogetherIsRefusedBeforeTheWork(string options, string expected)
    {
        string output = _folder.File("refused");
        string[] method = options.Contains("--method", StringComparison.Ordinal) ? ["--calibration", "self"] : ["--method", "rtn"];
        CliResult run = await Lrq.Run(["quantize", "demo", "--eval-windows", "1", "--out", output, .. method, .. options.Split(' ')]);
        Assert.Equal(2, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }
}
