using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Runs onto grids with float minima: every field is stored, read back, exported, learned and resumed from.</summary>
public sealed class AffineRunTests : IDisposable
{
    private const string Windows = "--samples 8 --held-out 2 --sequence-length 64 --eval-windows 1 --threads 1";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("--bits 4 --group-size 64 --zeros float", 4, 64)]
    [InlineData("--grid q5_1", 5, 32)]
    [InlineData("--grid 3:32:affine --start search --scale-dtype bf16", 3, 32)]
    public async Task WhatIsWrittenIsWhatWasComputedAndCounted(string options, int bits, int group)
    {
        string output = _folder.File("out");
        await Run($"quantize demo --method rtn --eval-windows 1 --threads 1 --out {output} {options}");
        var grid = new AffineGrid(bits, group);
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var original = new CausalModel(HuggingFaceCheckpoint.Open(TestData.Demo), device);
        using HuggingFaceCheckpoint written = HuggingFaceCheckpoint.Open(output);
        Assert.Equal("folder of affine grids", written.Kind);
        Assert.Equal(original.Checkpoint.TensorNames.Order(StringComparer.Ordinal), written.TensorNames.Order(StringComparer.Ordinal));
        using SafetensorsFolder files = SafetensorsFolder.Open(output);
        long counted = 0;
        foreach ((string linear, int outFeatures, int inFeatures) in original.Linears)
        {
            string tensor = $"{original.BlockName(1)}.{linear}.weight";
            float[] weight = new float[outFeatures * inFeatures], expected = new float[weight.Length], values = new float[weight.Length];
            original.Checkpoint.Read(tensor, weight);
            var read = Assert.IsType<AffineWeight>(written.ReadQuantized(tensor));
            var scheme = new Scheme(grid, options.Contains("search", StringComparison.Ordinal) ? GridStart.Search : GridStart.MinMax, read.ScaleType);
            var rounded = (AffineWeight)FittedGrid.Find(weight, outFeatures, inFeatures, scheme, device.HostWorkers).Round(weight, default, device.HostWorkers);
            Assert.Equal(rounded.Codes, read.Codes);
            Assert.Equal(rounded.Scales, read.Scales);
            Assert.Equal(rounded.Minima, read.Minima);
            rounded.Dequantize(expected);
            written.Read(tensor, values);
            Assert.Equal(expected, values);
            long bytes = files.Tensors.Where(entry => entry.Key.StartsWith(tensor, StringComparison.Ordinal)).Sum(entry => entry.Value.ByteLength);
            Assert.Equal(8 * bytes, written.StoredBitsOf(tensor));
            Assert.Equal(8 * bytes, read.StoredBits);
            counted += read.StoredBits;
        }
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "report.json")))!;
        Assert.Equal((double)counted / original.Linears.Sum(linear => (long)linear.OutFeatures * linear.InFeatures), (double)report["bitsPerWeight"]!, 1e-9);
        Assert.Contains($"{grid}", await Run($"inspect {output}"), StringComparison.Ordinal);
        await Run($"verify {output}");
        await Run($"eval {output} --reference demo --text {Path.Combine(TestData.Demo, "evaluation.txt")} --windows 1 --threads 1");
    }

    [Theory]
    [InlineData("--grid q4_1", "mlx", "gguf")]
    [InlineData("--bits 5 --group-size 64 --zeros float --scale-dtype fp16", "mlx", "gguf")]
    [InlineData("--bits 4 --group-size 32 --zeros float --scale-dtype bf16", "mlx", "gguf")]
    [InlineData("--bits 6 --group-size 64 --zeros float --scale-dtype fp16 --head 8", "mlx", "")]
    [InlineData("--grid q4_1 --layers down_proj=8:32:symmetric,o_proj=q6_k --target llama.cpp", "", "gguf")]
    public async Task ExportsHoldTheSameNumbersOrAreRefusedByName(string options, params string[] containers)
    {
        string output = _folder.File("out");
        await Run($"quantize demo --method rtn --eval-windows 1 --threads 1 --out {output} {options}");
        foreach (string container in new[] { "mlx", "gguf" })
        {
            string file = _folder.File(container == "gguf" ? "model.gguf" : container);
            CliResult export = await Lrq.Run("export", output, "--to", container, "--out", file);
            if (!containers.Contains(container))
            {
                Assert.Equal(2, export.Code);
                Assert.Contains("layers.0.", export.Error, StringComparison.Ordinal);
                continue;
            }
            Assert.True(export.Code == 0, export.Error);
            await Run($"verify {file} --against {output}");
            using ICheckpoint run = CheckpointOpener.Open(output), held = CheckpointOpener.Open(file);
            Assert.IsType<AffineWeight>(held.ReadQuantized("model.layers.0.mlp.gate_proj.weight"));
        }
        await Run($"export {output} --to dense --out {_folder.File("dense")}", $"verify {_folder.File("dense")} --against {output}");
        foreach (string container in new[] { "compressed-tensors", "gptq", "awq" })
        {
            CliResult refused = await Lrq.Run("export", output, "--to", container, "--out", _folder.File(container));
            Assert.Equal(2, refused.Code);
            Assert.Contains("stores a float minimum per group, which only mlx and gguf hold", refused.Error, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("flexround", "--iterations 40")]
    [InlineData("lrq", "--iterations 40 --rank 16")]
    [InlineData("lrq+", "--iterations 40 --zero-points true")]
    [InlineData("lrq+", "--iterations 10 --codes gptq")]
    public async Task LearningComesNearerThanRounding(string method, string options)
    {
        string output = _folder.File("out");
        await Run($"quantize demo --method {method} --bits 3 --group-size 32 --zeros float {options} {Windows} --out {output}");
        JsonNode report = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "report.json")))!;
        Assert.All(report["blocks"]!.AsArray(), block => Assert.True((double)block!["lossAfter"]! < (double)block["lossBefore"]!));
    }

    [Theory]
    [InlineData("gptq --act-order false --static-groups false")]
    [InlineData("gptq")]
    [InlineData("awq")]
    [InlineData("flrq --rank 4 --rank-rule fixed --epochs 1")]
    [InlineData("flrq+ --rank 4 --tune-steps 0")]
    [InlineData("qera-exact --rank 4")]
    public async Task MethodsThatFitLayersStoreMinima(string method)
    {
        string output = _folder.File("out");
        await Run($"quantize demo --method {method} --bits 3 --group-size 32 --zeros float {Windows} --out {output}");
        using ICheckpoint written = CheckpointOpener.Open(output);
        var weight = Assert.IsType<AffineWeight>(written.ReadQuantized("model.layers.2.mlp.down_proj.weight"));
        Assert.Equal(method.Contains("rank", StringComparison.Ordinal), weight.Branch is not null);
        // Minima are free: hardly one is a multiple of its scale.
        Assert.True(weight.Minima.Where((minimum, i) => Math.Abs((minimum / weight.Scales[i]) - Math.Round(minimum / weight.Scales[i])) > 0.01).Count() > weight.Minima.Length / 2);
    }

    [Fact]
    public async Task AnInterruptedRunGoesOnToTheSameBytesAndBlocksAreDoneAgain()
    {
        string whole = _folder.File("whole"), parts = _folder.File("parts"), redone = _folder.File("redone");
        string run = $"quantize demo --method lrq+ --bits 3 --group-size 32 --zeros float --zero-points true --iterations 5 {Windows}";
        await Run($"{run} --out {whole}");
        await Run($"{run} --out {parts} --blocks 2");
        await Run($"{run.Replace("--threads 1", "--threads 2", StringComparison.Ordinal)} --out {parts}");
        Assert.Equal(Lrq.Bytes(whole), Lrq.Bytes(parts));
        await Run($"quantize demo --recipe {whole} --eval-windows 1 --threads 1 --out {redone}");
        Assert.Equal(Lrq.Bytes(whole), Lrq.Bytes(redone));
        await Run($"quantize demo --redo-blocks 2 --bits 8 --zeros float --eval-windows 1 --threads 1 --out {redone}");
        using ICheckpoint written = CheckpointOpener.Open(redone);
        Assert.Equal(new AffineGrid(8, 32), written.ReadQuantized("model.layers.2.mlp.up_proj.weight")!.Grid);
        Assert.Equal(new AffineGrid(3, 32), written.ReadQuantized("model.layers.1.mlp.up_proj.weight")!.Grid);
    }

    [Fact]
    public async Task AFileOfTheEnginesOwnMinimaBecomesAFolderOfMlxWithoutRounding()
    {
        string output = _folder.File("out"), file = _folder.File("model.gguf"), mlx = _folder.File("mlx");
        await Run($"quantize demo --method rtn --grid q4_1 --eval-windows 1 --threads 1 --out {output}");
        await Run($"export {output} --to gguf --out {file}", $"export {file} --to mlx --out {mlx}", $"verify {mlx} --against {file}", $"verify {mlx} --against {output}");
    }

    private static async Task<string> Run(params string[] commands)
    {
        string last = "";
        foreach (string command in commands)
        {
            CliResult result = await Lrq.Run(command.Split(' ', StringSplitOptions.RemoveEmptyEntries));
            Assert.True(result.Code == 0, command + "\n" + result.Out + result.Error);
            last = result.Out;
        }
        return last;
    }
}
