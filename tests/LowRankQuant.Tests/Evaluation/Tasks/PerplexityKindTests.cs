using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Requests;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Tests.Evaluation.Tasks;

/// <summary>Rolling perplexity and llama.cpp's, against golden/eval/ppl.*.json.</summary>
public class PerplexityKindTests
{
    private const double Relative = 2e-5;

    private static string WikiTextTest => File.ReadAllText(TestData.Path("data", "wikitext-2", "wiki.test.raw"));

    [Fact]
    public void TinyStories_Rolling() => CheckRolling(TaskModels.TinyStories, "new", Harness.V04, context: 512);

    /// <summary>Minutes long: bench/eval_golden.sh runs this.</summary>
    [Theory(Explicit = true)]
    [InlineData(TaskModels.TinyStories, "old", Harness.V03, 512, Traits = ["piece", "tinystories-perplexity"])]
    [InlineData(TaskModels.SmolLM2, "new", Harness.V04, 2048, Traits = ["piece", "smollm2-perplexity"])]
    [InlineData(TaskModels.SmolLM2, "old", Harness.V03, 2048, Traits = ["piece", "smollm2-perplexity"])]
    public void Rolling(string model, string key, Harness harness, int context) => CheckRolling(model, key, harness, context);

    /// <summary>All windows stored.</summary>
    [Fact(Explicit = true)]
    [Trait("piece", "smollm2-perplexity")]
    public void SmolLM2_LlamaCppWhole() => CheckLlamaCpp(TaskModels.SmolLM2, 8);

    [Fact]
    public void TinyStories_LlamaCpp() => CheckLlamaCpp(TaskModels.TinyStories, 8);

    [Fact]
    public void SmolLM2_LlamaCpp() => CheckLlamaCpp(TaskModels.SmolLM2, 2);

    [Fact]
    public void PagesAreTheHarnesss()
    {
        JsonNode golden = Golden(TaskModels.TinyStories);
        IReadOnlyList<string> pages = WikiText.Pages(WikiTextTest);
        Assert.Equal((int)golden["rolling.new"]!["pages_in_file"]!, pages.Count);
        JsonArray documents = golden["rolling.new"]!["per_doc"]!.AsArray();
        for (int i = 0; i < documents.Count; i++)
        {
            Assert.Equal((string)documents[i]!["page_sha256"]!, Hash(pages[i]));
            Assert.Equal((string)documents[i]!["text_sha256"]!, Hash(WikiText.Detokenize(pages[i])));
            Assert.Equal((int)documents[i]!["words"]!, WikiText.CountWords(pages[i]));
        }
    }

    internal static void CheckRolling(string model, string key, Harness harness, int context)
    {
        using var models = new TaskModels(model);
        using var runner = new ModelRunner(models.Model);
        JsonNode golden = Golden(model)[$"rolling.{key}"]!;
        JsonArray documents = golden["per_doc"]!.AsArray();
        IReadOnlyList<string> pages = [.. WikiText.Pages(WikiTextTest).Take(documents.Count)];
        var encoder = new PairEncoder(models.Tokenizer, models.Model.Config, harness, AddBos.Auto);
        Assert.Equal((int)golden["prefix_token"]!, encoder.PrefixToken);
        EvaluationResult result = new RollingPerplexity(runner, encoder, context)
        {
            DocumentScored = (number, windows, words, bytes) =>
            {
                JsonArray expected = documents[number]!["windows"]!.AsArray();
                Assert.Equal(expected.Count, windows.Length);
                for (int i = 0; i < windows.Length; i++) Assert.Equal(1, windows[i] / (double)expected[i]!["ll"]!, Relative);
                Assert.Equal(((int)documents[number]!["words"]!, (int)documents[number]!["bytes"]!), (words, bytes));
            },
        }.Measure(pages, null, TestContext.Current.CancellationToken);
        Assert.Equal((long)golden["tokens"]!, result.Tokens);
        Assert.Equal(1, result.WordPerplexity!.Value / (double)golden["word_perplexity"]!, 10 * Relative);
        Assert.Equal(1, result.BytePerplexity!.Value / (double)golden["byte_perplexity"]!, Relative);
        Assert.Equal(1, result.BitsPerByte!.Value / (double)golden["bits_per_byte"]!, Relative);
    }

    internal static void CheckLlamaCpp(string model, int count)
    {
        using var models = new TaskModels(model);
        using var runner = new ModelRunner(models.Model);
        JsonNode golden = Golden(model)["llamacpp"]!;
        int[] ids = models.Tokenizer.Encode(WikiTextTest, addSpecialTokens: true);
        int? bos = models.Tokenizer.AddsBos ? models.Tokenizer.BosId : null;
        Assert.Equal((bool)golden["bos"]!, bos is not null);
        IEnumerable<TextWindow> windows = TextWindows.CutLlamaCpp([ids], bos, new TextWindowOptions { Windows = count }, models.Model.Config);
        var sums = new List<double>();
        EvaluationResult result = new Evaluator(runner) { WindowScored = score => sums.Add(score.LossSum) }
            .Evaluate(windows, new EvaluationOptions { Average = PerplexityAverage.Tokens }, cancellation: TestContext.Current.CancellationToken);
        double[] expected = GoldenItems.Doubles(golden["nll_sum"]);
        for (int i = 0; i < count; i++) Assert.Equal(1, sums[i] / expected[i], Relative);
        if (count < expected.Length) return;
        Assert.Equal((long)golden["count"]!, result.Tokens);
        Assert.Equal(1, result.Perplexity!.Value / (double)golden["ppl"]!, 10 * Relative);
        Assert.Equal(1, result.StandardErrors["perplexity"] / (double)golden["ppl_uncertainty"]!, 10 * Relative);
    }

    private static JsonNode Golden(string model) => JsonNode.Parse(File.ReadAllText(TestData.Path("golden", "eval", $"ppl.{model}.json")))!;

    private static string Hash(string text) =>
        Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(text)));
}
