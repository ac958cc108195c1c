using System.Text.Json;
using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>A budget spent on llama.cpp's blocks: every layer gets one of them, the file has the bits that were asked for, and holds what was learned.</summary>
public sealed class BlockBudgetTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task TheBudgetIsSpentOnBlocksAndTheFileHoldsThem()
    {
        const double target = 3.2;
        string output = _folder.File("run"), file = _folder.File("run.gguf"), parts = _folder.File("parts");
        CliResult run = await Lrq.Run([.. Small(output), "--json"]);
        Assert.True(run.Code == 0, run.Error);
        using JsonDocument report = JsonDocument.Parse(run.Out);
        Assert.InRange(report.RootElement.GetProperty("bitsPerWeight").GetDouble(), target - 0.15, target);

        CliResult exported = await Lrq.Run("export", output, "--to", "gguf", "--out", file, "--json");
        Assert.True(exported.Code == 0, exported.Error);
        CliResult verified = await Lrq.Run("verify", file, "--against", output);
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        using GgufFile gguf = GgufFile.Open(file);
        GgufTensor[] matrices = [.. gguf.Tensors.Values.Where(tensor => tensor.Name.StartsWith("blk.", StringComparison.Ordinal) && tensor.Shape.Length == 2)];
        Assert.Equal(report.RootElement.GetProperty("bitsPerWeight").GetDouble(), 8.0 * matrices.Sum(tensor => tensor.ByteLength) / matrices.Sum(tensor => tensor.ElementCount), 1e-9);
        Assert.True(matrices.Select(tensor => tensor.Type).Distinct().Count() > 1, "every layer has the same type");

        Assert.Equal(0, (await Lrq.Run([.. Small(parts), "--blocks", "2"])).Code);
        CliResult finished = await Lrq.Run(Small(parts));
        Assert.True(finished.Code == 0, finished.Error);
        Assert.Equal(Lrq.Bytes(output), Lrq.Bytes(parts));
    }

    [Fact]
    public async Task WhatTheBudgetDecidesIsNotToBeGiven()
    {
        CliResult run = await Lrq.Run([.. Small(_folder.File("none")), "--group-size", "64", "--rank", "4", "--on-misfit", "nearest"]);
        Assert.Equal(2, run.Code);
        Assert.Contains("chooses among the engine's blocks by itself", run.Error, StringComparison.Ordinal);
        Assert.Contains("--rank 4: a budget over llama.cpp's blocks", run.Error, StringComparison.Ordinal);
        Assert.Contains("--on-misfit does not apply to --target-bits with --target llama.cpp", run.Error, StringComparison.Ordinal);
        string[] small = Small(_folder.File("small"));
        small[Array.IndexOf(small, "--target-bits") + 1] = "2.1";
        CliResult refused = await Lrq.Run(small);
        Assert.Equal(2, refused.Code);
        Assert.Contains("the smallest blocks of llama.cpp that the layers fit take 2.", refused.Error, StringComparison.Ordinal);
    }

    private static string[] Small(string output) =>
    [
        "quantize", "demo", "--method", "flrq+", "--target-bits", "3.2", "--target", "llama.cpp", "--samples", "8", "--held-out", "1", "--sequence-length", "64",
        "--eval-windows", "1", "--threads", "1", "--out", output,
    ];
}
