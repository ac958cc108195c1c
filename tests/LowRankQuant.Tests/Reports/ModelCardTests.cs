using LowRankQuant.Runs.Reports.Html;

namespace LowRankQuant.Tests.Reports;

/// <summary>The model card: metadata that the hub reads, what is taken over from the source's own, and whose card is never touched.</summary>
public sealed class ModelCardTests
{
    [Fact]
    public void ACardHasTheMetadataOfTheHub()
    {
        string card = ModelCard.Write(SampleReports.Full(2), new ModelCardSource("apache-2.0", null, null, ["en", "fr"]), container: "compressed-tensors", text => text.Replace("`recipe`", "--recipe", StringComparison.Ordinal));
        string[] lines = card.Split('\n');
        Assert.Equal("---", lines[0]);
        foreach (string line in new[]
        {
            "base_model: \"Qwen/Qwen3-0.6B\"", "base_model_relation: quantized", "library_name: transformers", "pipeline_tag: text-generation", "license: apache-2.0", "language: [\"en\", \"fr\"]",
            "tags: [\"lrq\", \"low-rank-quantization\", \"quantized\", \"compressed-tensors\"]", "quantization:", "  bits_per_weight: 3.19", "  kl_divergence: 0.0412", "  size_bytes: 325440000",
        }) Assert.Contains(line, lines);
        Assert.Contains("lrq quantize Qwen/Qwen3-0.6B --recipe recipe.json", card, StringComparison.Ordinal);
        Assert.Equal(card, ModelCard.Write(SampleReports.Full(2), new ModelCardSource("apache-2.0", null, null, ["en", "fr"]), container: "compressed-tensors", text => text.Replace("`recipe`", "--recipe", StringComparison.Ordinal)));
    }

    [Fact]
    public void NothingIsMadeUp()
    {
        string card = ModelCard.Write(SampleReports.Bare(), ModelCardSource.None, container: "compressed-tensors");
        Assert.DoesNotContain("base_model", card, StringComparison.Ordinal);
        Assert.DoesNotContain("license", card, StringComparison.Ordinal);
        Assert.DoesNotContain("library_name", card, StringComparison.Ordinal);
        Assert.DoesNotContain("kl_divergence", card, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("---\nlicense: mit\nlanguage:\n- en\n- de\n---\n# x", "mit", "en de")]
    [InlineData("---\r\nlicense: \"other\"\r\nlanguage: [en, 'pt-BR']\r\n---\r\n", "other", "en pt-BR")]
    [InlineData("---\nlanguage: zh\nlicense: a b <c>\n---\n", null, "zh")]
    [InlineData("---\nlicense: mit\n\nlicense: other\n", "mit", "")]
    [InlineData("# no metadata\nlicense: mit\n", null, "")]
    [InlineData("", null, "")]
    public void TheSourcesCardIsRead(string text, string? license, string languages)
    {
        var source = ModelCardSource.Parse(text);
        Assert.Equal(license, source.License);
        Assert.Equal(languages, string.Join(' ', source.Languages));
    }

    [Fact]
    public void SomebodysOwnCardIsNeverOverwritten()
    {
        using var folder = new TemporaryFolder();
        string card = ModelCard.Write(SampleReports.Full(2), ModelCardSource.None, container: "compressed-tensors"), other = ModelCard.Write(SampleReports.Bare(), ModelCardSource.None, container: "compressed-tensors"), file = folder.File(ModelCard.FileName);
        Assert.True(ModelCard.TryWrite(folder.Path, card));
        Assert.True(ModelCard.TryWrite(folder.Path, other));
        Assert.Equal(other, File.ReadAllText(file));
        File.WriteAllText(file, other.Replace("# Model", "# My model", StringComparison.Ordinal));
        Assert.False(ModelCard.TryWrite(folder.Path, card));
        File.WriteAllText(file, other + "More.\n");
        Assert.False(ModelCard.TryWrite(folder.Path, card));
        File.WriteAllText(file, "mine");
        Assert.False(ModelCard.TryWrite(folder.Path, card));
        Assert.Equal("mine", File.ReadAllText(file));
    }
}
