using System.Text.Json.Nodes;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Runs that learn with products of bf16, and kernels by name.</summary>
public sealed class PrecisionRunTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("onednn")]
    [InlineData("simd")]
    public async Task ThreadsChangeNoByteAndTheResultIsNamed(string kernels)
    {
        if (kernels == "onednn") Assert.SkipWhen(CpuSurvey.Find(CpuKernelKind.OneDnn).File is null, CpuSurvey.Find(CpuKernelKind.OneDnn).Description);
        string single = _folder.File("single"), one = _folder.File("one"), two = _folder.File("two");
        Assert.Equal(0, (await Lrq.Run(Lrq.SmallRun(single))).Code);
        CliResult half = await Lrq.Run([.. Lrq.SmallRun(one), "--kernels", kernels, "--precision", "bf16"]);
        Assert.True(half.Code == 0, half.Error);
        Assert.Contains("products of linears rounded to bf16", half.Out, StringComparison.Ordinal);
        bool multiplies = CpuSurvey.Find(CpuKernelKind.OneDnn).MultipliesHalf;
        Assert.Equal(kernels == "simd" || !multiplies, half.Out.Contains("round to bf16 and multiply floats", StringComparison.Ordinal));
        Assert.Equal(kernels == "simd" && multiplies, half.Out.Contains("--kernels onednn multiplies bf16", StringComparison.Ordinal));
        Assert.Equal(0, (await Lrq.Run([.. Lrq.SmallRun(two, threads: 2), "--kernels", kernels, "--precision", "bf16"])).Code);
        Assert.Equal(Lrq.Bytes(one), Lrq.Bytes(two));
        Assert.Equal("bf16", (string)Json(one, "recipe.json")["precision"]!);
        Assert.Null(Json(single, "recipe.json")["precision"]);
        Assert.Equal("bf16", (string)Json(one, "report.json")["precision"]!);
        Assert.Contains("products of linears in bf16", File.ReadAllText(Path.Combine(one, "report.md")), StringComparison.Ordinal);
        // Rounding products changes the result, and not by much.
        double floats = Divergence(single), halves = Divergence(one);
        Assert.NotEqual(floats, halves);
        Assert.Equal(floats, halves, 0.1 * floats);
        // Full precision is measured as ever.
        Assert.Equal((double)Json(single, "report.json")["fullPrecision"]!["perplexity"]!, (double)Json(one, "report.json")["fullPrecision"]!["perplexity"]!, 1e-4);
    }

    [Theory]
    [InlineData("--kernels onednn:/nowhere/libdnnl.so", 1, "apt-get install libdnnl2")]
    [InlineData("--kernels simd:/nowhere/libdnnl.so", 2, "--kernels simd:/nowhere/libdnnl.so: must be one of simd, scalar, blas, onednn")]
    [InlineData("--kernels mkl", 2, "--kernels mkl: must be one of")]
    [InlineData("--precision fp16", 2, "--precision fp16: must be one of fp32, bf16")]
    public async Task WhatIsNotThereIsRefused(string options, int code, string expected)
    {
        string output = _folder.File("out");
        CliResult run = await Lrq.Run([.. Lrq.SmallRun(output), .. options.Split(' ')]);
        Assert.Equal(code, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    [Fact]
    public async Task DevicesAreTold()
    {
        CliResult table = await Lrq.Run("devices"), json = await Lrq.Run("devices", "--json");
        Assert.Equal((0, 0), (table.Code, json.Code));
        Assert.Contains("--kernels onednn", table.Out, StringComparison.Ordinal);
        JsonNode all = JsonNode.Parse(json.Out)!;
        CpuLibrary library = CpuSurvey.Find(CpuKernelKind.OneDnn);
        Assert.Equal((library.File, library.MultipliesHalf), ((string?)all["onednn"]!["file"], (bool)all["multipliesBf16"]!));
        Assert.Contains(library.Description, string.Join(' ', table.Out.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    private static double Divergence(string output) => (double)Json(output, "report.json")["result"]!["klDivergence"]!;

    private static JsonNode Json(string output, string file) => JsonNode.Parse(File.ReadAllText(Path.Combine(output, file)))!;
}
