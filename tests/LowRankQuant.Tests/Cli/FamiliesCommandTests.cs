using System.Text.Json.Nodes;
using LowRankQuant.Models.Families.Catalog;

namespace LowRankQuant.Tests.Cli;

/// <summary><c>lrq families</c> lists every model_type that is served, once.</summary>
public sealed class FamiliesCommandTests
{
    private static string[] Types => [.. ModelFamilies.Known.SelectMany(family => family.ModelTypes).Order(StringComparer.Ordinal)];

    [Fact]
    public async Task EveryModelTypeIsListedOnce()
    {
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("families"));
        string[] lines = cli.Out.Split('\n');
        Assert.Equal(Types, lines[2..].TakeWhile(line => line.Length > 0).Select(line => line.Split(' ')[0]));
        Assert.Matches(@"^llama +folder, gguf +Llama 1, 2 and 3", lines.Single(line => line.StartsWith("llama ", StringComparison.Ordinal)));
        Assert.Matches(@"^gemma3 +folder, gguf +Gemma 1, 2 and 3", lines.Single(line => line.StartsWith("gemma3 ", StringComparison.Ordinal)));
        Assert.Contains("--method rtn", cli.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task JsonHasTheSame()
    {
        var cli = new CliHarness();
        Assert.Equal(0, await cli.Run("families", "--json"));
        JsonArray list = JsonNode.Parse(cli.Out)!["families"]!.AsArray();
        Assert.Equal(Types, list.Select(item => (string)item!["modelType"]!));
        JsonNode llama = list.Single(item => (string)item!["modelType"]! == "llama")!;
        Assert.Equal(["folder", "gguf"], llama["readFrom"]!.AsArray().Select(source => (string)source!));
        Assert.Equal(["folder"], list.Single(item => (string)item!["modelType"]! == "gptj")!["readFrom"]!.AsArray().Select(source => (string)source!));
    }

    [Fact]
    public void DescriptionsAreOneLineWithoutAFullStop()
    {
        Assert.All(ModelFamilies.Known, family => Assert.Matches(@"^[^\n]{10,130}[^.\n]$", family.Description));
        Assert.Equal(ModelFamilies.Known.Count, ModelFamilies.Known.Select(family => family.Description).Distinct().Count());
    }

    [Fact]
    public async Task AnArgumentIsTooMuch()
    {
        var cli = new CliHarness();
        Assert.Equal(2, await cli.Run("families", "llama"));
        Assert.StartsWith("error: 'llama' is too much: lrq families takes none.", cli.Error, StringComparison.Ordinal);
    }
}
