using System.Text;
using System.Text.Json.Nodes;
using LowRankQuant.Cli;
using LowRankQuant.Cli.Commands;
using LowRankQuant.Tests.Cli;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Hub;

/// <summary>
/// From a name of the hub to a GGUF file with its report, one command, and what a newcomer does with both. With LRQ_TRANSCRIPT a folder, the same commands run at the size that
/// docs/results/newcomer.md shows, and what they print is written there.
/// </summary>
public class FirstTenMinutesTests
{
    private const string Calibration = "hf://datasets/acme/stories/calibration.txt", Evaluation = "hf://datasets/acme/stories/evaluation.txt";

    [Fact]
    public async Task OneCommandFromANameToAFileForAnotherEngine()
    {
        string? kept = Environment.GetEnvironmentVariable("LRQ_TRANSCRIPT");
        using var folder = new TemporaryFolder();
        await using HubServer server = await StartAsync();
        var session = new Session(server, folder, kept is null);
        string[] small = kept is null ? ["--samples", "4", "--held-out", "1", "--sequence-length", "64", "--threads", "1"] : [];
        string output = folder.File("tiny-w4"), file = Path.Combine(output, "tiny.gguf");
        CliResult pulled = await session.Run(0, "pull", "acme/tiny");
        Assert.Equal(folder.File($"hub/models--acme--tiny/snapshots/{HubRepository.Commit}\n"), pulled.Out);
        CliResult made = await session.Run(0, ["quantize", "acme/tiny", "--method", "gptq", "--bits", "4", "--to", "gguf", "--calibration", Calibration, "--eval-text", Evaluation, "--eval-windows", "2", .. small, "--out", output]);
        Assert.Contains($"gguf: {file}, ", made.Out, StringComparison.Ordinal);
        foreach (string beside in new[] { "report.html", "report.md", "report.json", "README.md", "recipe.json", "model.safetensors" }) Assert.True(File.Exists(Path.Combine(output, beside)), beside);
        Assert.Contains("4-bit weights, symmetric, one fp16 scale per group of 32", made.Out, StringComparison.Ordinal);
        Assert.Matches("\"engine\":\\s*\"llama.cpp\"", File.ReadAllText(Path.Combine(output, "recipe.json")));
        // The file holds the codes of the run, and is measured alike.
        CliResult verified = await session.Run(0, "verify", file, "--against", output);
        Assert.Contains("llama.cpp", verified.Out, StringComparison.Ordinal);
        CliResult report = await session.Run(0, "report", output);
        Assert.NotEqual("", report.Out);
        CliResult measured = await session.Run(0, "eval", file, "--reference", "acme/tiny", "--text", Evaluation, "--windows", "2");
        JsonNode figures = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "report.json")))!["result"]!;
        Assert.Contains(((double)figures["perplexity"]!).ToString("F2", System.Globalization.CultureInfo.InvariantCulture), measured.Out, StringComparison.Ordinal);
        // The same command finds both as they are, and writes the file again where it is gone.
        byte[] bytes = File.ReadAllBytes(file);
        File.Delete(file);
        CliResult again = await session.Run(0, ["quantize", "acme/tiny", "--method", "gptq", "--bits", "4", "--to", "gguf", "--calibration", Calibration, "--eval-text", Evaluation, "--eval-windows", "2", .. small, "--out", output, "--json"]);
        Assert.Equal(file, (string)JsonNode.Parse(again.Out)!["exported"]!);
        Assert.Equal(bytes, File.ReadAllBytes(file));
        if (kept is not null) session.Write(Path.Combine(kept, "newcomer.txt"));
        // Blocks that are done again leave the file behind, which is said.
        CliResult redone = await session.Run(0, "quantize", "acme/tiny", "--redo-blocks", "3", "--damping", "0.05", "--out", output);
        Assert.Contains($"{file} has the weights of before; --to gguf writes it again.", redone.Out + redone.Error, StringComparison.Ordinal);
        Assert.Equal(bytes, File.ReadAllBytes(file));
        await session.Run(0, "quantize", "acme/tiny", "--redo-blocks", "3", "--damping", "0.1", "--to", "gguf", "--out", output);
        Assert.NotEqual(bytes, File.ReadAllBytes(file));
        await session.Run(0, "verify", file, "--against", output);
    }

    /// <summary>Its commands, which the page has in this order.</summary>
    [Fact]
    public async Task ThePageShowsCommandsThatAreUnderstood()
    {
        string[] lines = [.. File.ReadLines(Path.Combine(TestData.RepositoryRoot, "docs", "results", "newcomer.md")).Where(line => line.StartsWith("$ lrq ", StringComparison.Ordinal))];
        Assert.Equal(["pull", "quantize", "verify", "report", "eval", "quantize"], lines.Select(line => line.Split(' ')[2]));
        var app = new App(new Terminal(TextWriter.Null, TextWriter.Null, false, false), Engine.Default);
        foreach (string line in lines) Assert.Empty(app.Parse(line.Split(' ')[2..]).Errors);
        Assert.Contains(lines, line => line.Contains(" --to gguf ", StringComparison.Ordinal));
        // Comparisons keep no result that could be written.
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run("compare-methods", "demo", "--methods", "rtn", "--schemes", "w4a16", "--to", "gguf", "--out", "out"));
        Assert.Contains("--to is no option of lrq compare-methods", cli.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--to gguf --format dense", "--to gguf takes codes, and --format dense writes floats")]
    [InlineData("--to gguf --blocks 1", "--to gguf writes a whole result, and --blocks makes none")]
    [InlineData("--to gguf --target vllm", "--to gguf: --target vllm has other rules")]
    [InlineData("--to onnx", "--to onnx: must be one of gguf")]
    // A grid that somebody named is not exchanged for another.
    [InlineData("--to gguf --grid fp8", "--target llama.cpp cannot hold")]
    public async Task WhatTheContainerCannotHoldIsSaidBeforeAnythingStarts(string options, string message)
    {
        using var folder = new TemporaryFolder();
        CliResult result = await Lrq.Run(["quantize", "demo", "--method", "rtn", .. options.Split(' '), "--out", folder.File("out")]);
        Assert.Equal(2, result.Code);
        Assert.Contains(message, result.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.File("out")));
    }

    [Theory]
    [InlineData("gptq", "gptq")]
    [InlineData("awq", "awq")]
    [InlineData("mlx", "mlx")]
    public async Task OtherContainersAreFoldersBesideTheResult(string container, string name)
    {
        using var folder = new TemporaryFolder();
        string output = folder.File("out");
        CliResult result = await Lrq.Run(Lrq.Rounding(output, "--bits", "4", "--to", container));
        Assert.True(result.Code == 0, result.Error);
        Assert.Contains($"{container}: {Path.Combine(output, name)}, ", result.Out, StringComparison.Ordinal);
        CliResult verified = await Lrq.Run("verify", Path.Combine(output, name), "--against", output);
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
    }

    [Fact]
    public async Task AVocabularyWithoutAGgufFormStopsTheRunAtOnce()
    {
        using var folder = new TemporaryFolder();
        string model = DemoCopy.Create(folder, "model");
        DemoCopy.Edit(model, "tokenizer.json", json => json["normalizer"] = new JsonObject { ["type"] = "Lowercase" });
        CliResult result = await Lrq.Run("quantize", model, "--method", "rtn", "--to", "gguf", "--out", folder.File("out"));
        Assert.Equal(2, result.Code);
        Assert.Contains("--to gguf: ", result.Error, StringComparison.Ordinal);
        Assert.Contains("ormalizer", result.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.File("out")));
    }

    private static Task<HubServer> StartAsync()
    {
        var texts = new HubRepository();
        foreach (string name in new[] { "calibration.txt", "evaluation.txt" }) texts.Files[name] = File.ReadAllBytes(Path.Combine(TestData.Demo, name));
        HubRepository model = HubRepository.OfFolder(TestData.Demo);
        model.Files.Remove("calibration.txt");
        model.Files.Remove("evaluation.txt");
        return HubServer.StartAsync(("acme/tiny", model), ("datasets/acme/stories", texts));
    }

    /// <summary>Commands and what they print.</summary>
    private sealed class Session(HubServer server, TemporaryFolder folder, bool checks)
    {
        private readonly StringBuilder _transcript = new();

        public async Task<CliResult> Run(int code, params string[] args)
        {
            using var output = new StringWriter { NewLine = "\n" };
            using var error = new StringWriter { NewLine = "\n" };
            var app = new App(new Terminal(output, error, false, false), Engine.Default with { Hub = () => server.Options(folder) });
            int found = await app.RunAsync(args, TestContext.Current.CancellationToken);
            var result = new CliResult(found, output.ToString(), error.ToString());
            _transcript.Append("$ lrq ").AppendJoin(' ', args).Append('\n').Append(result.Error).Append(result.Out).Append('\n');
            Assert.True(found == code, $"{string.Join(' ', args)}: {result.Error}{(checks ? result.Out : "")}");
            return result;
        }

        public void Write(string path) => File.WriteAllText(path, _transcript.ToString().Replace(folder.Path + "/", "", StringComparison.Ordinal));
    }
}
