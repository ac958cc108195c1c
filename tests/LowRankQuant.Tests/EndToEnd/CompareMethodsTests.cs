using System.Text.Json.Nodes;

namespace LowRankQuant.Tests.EndToEnd;

/// <summary>Several methods under several schemes: cells that are there are not made again, what does not go together is named, and options reach those that take them.</summary>
public sealed class CompareMethodsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task CellsAreMadeOnceAndMissingOnesAreAdded()
    {
        string output = _folder.File("out");
        CliResult first = await Lrq.Run(Compare(output, "rtn,lrq", "w3a16,w2a16-g64"));
        Assert.True(first.Code == 0, first.Error);
        string[] cells = [.. Directory.GetFiles(Path.Combine(output, "cells")).Select(Path.GetFileName).Order(StringComparer.Ordinal)!];
        Assert.Equal(["w2a16-g64.lrq.json", "w2a16-g64.rtn.json", "w3a16.lrq.json", "w3a16.rtn.json"], cells);
        string page = File.ReadAllText(Path.Combine(output, "comparison.md"));
        Assert.Contains("## w3a16", page, StringComparison.Ordinal);
        Assert.Contains("All methods that look at text look at the same windows.", page, StringComparison.Ordinal);
        JsonNode rtn = Cell(output, "w3a16.rtn"), lrq = Cell(output, "w3a16.lrq");
        Assert.Equal((double)rtn["bitsPerWeight"]!, (double)lrq["bitsPerWeight"]!);
        Assert.Equal(0, (long)rtn["learnedParameters"]!);
        Assert.True((long)lrq["learnedParameters"]! > 0);
        Assert.True((double)lrq["result"]!["klDivergence"]! > 0);
        Assert.Equal("evaluation.txt", (string)lrq["source"]!);
        // The models are gone, the figures stay.
        Assert.Empty(Directory.GetDirectories(Path.Combine(output, "models")));

        DateTime before = File.GetLastWriteTimeUtc(Path.Combine(output, "cells", "w3a16.lrq.json"));
        CliResult again = await Lrq.Run(Compare(output, "rtn,lrq,flexround", "w3a16"));
        Assert.True(again.Code == 0, again.Error);
        Assert.Contains("w3a16, lrq: there already", again.Out + again.Error, StringComparison.Ordinal);
        Assert.Equal(before, File.GetLastWriteTimeUtc(Path.Combine(output, "cells", "w3a16.lrq.json")));
        Assert.True(File.Exists(Path.Combine(output, "cells", "w3a16.flexround.json")));
        Assert.Contains("<circle", File.ReadAllText(Path.Combine(output, "kl.svg")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhatDoesNotGoTogetherIsNamedInTheTable()
    {
        string output = _folder.File("out");
        CliResult run = await Lrq.Run(Compare(output, "rtn,flrq", "nvfp4a16"));
        Assert.True(run.Code == 0, run.Error);
        Assert.Contains("method flrq works on integers; nvfp4", File.ReadAllText(Path.Combine(output, "comparison.md")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("rtn,nothing", "w3a16", "unknown")]
    [InlineData("rtn", "w9a99", "w9a99")]
    [InlineData("", "w3a16", "--methods is missing")]
    [InlineData("rtn,awq", "w3a16", "--rank 8: none of the runs takes it")]
    [InlineData("rtn,lrq", "w3a16,w9a99", "w9a99, lrq:")]
    public async Task WrongRequestsAreRefusedBeforeTheWork(string methods, string schemes, string expected)
    {
        string output = _folder.File("out");
        CliResult run = await Lrq.Run(Compare(output, methods, schemes));
        Assert.Equal(2, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    [Theory]
    [InlineData("--vary rank=4,8 --rank 8", "--rank 8: none of the runs takes it")]
    [InlineData("--vary rank=4,8 --gptaq 0.25", "--gptaq 0.25: none of the runs takes it")]
    [InlineData("--vary rank", "give KEY=V1,V2")]
    [InlineData("--vary ranks=4", "quantize has no option --ranks")]
    public async Task SweepsRefuseWhatNoRunTakes(string options, string expected)
    {
        string output = _folder.File("out");
        CliResult run = await Lrq.Run(["sweep", "demo", "--method", "lrq", "--bits", "3", .. options.Split(' '), "--out", output]);
        Assert.Equal(2, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    private static string[] Compare(string output, string methods, string schemes) =>
    [
        "compare-methods", "demo", .. methods.Length == 0 ? Array.Empty<string>() : ["--methods", methods], "--schemes", schemes, "--samples", "4", "--held-out", "2", "--sequence-length", "64",
        "--iterations", "5", "--rank", "8", "--eval-windows", "1", "--threads", "1", "--out", output,
    ];

    private static JsonNode Cell(string output, string name) => JsonNode.Parse(File.ReadAllText(Path.Combine(output, "cells", name + ".json")))!;
}
