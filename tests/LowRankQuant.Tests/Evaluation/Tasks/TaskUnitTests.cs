using System.Text.Json.Nodes;
using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Data;
using LowRankQuant.Evaluation.Tasks.Definitions;
using LowRankQuant.Evaluation.Tasks.Requests;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Tests.Evaluation.Tasks;

/// <summary>Prompts, ids, windows and metrics of the reference harnesses on awkward documents (golden/eval/units.json).</summary>
public class TaskUnitTests
{
    [Theory]
    [InlineData("requests_new", Harness.V04)]
    [InlineData("requests_old", Harness.V03)]
    public void Requests(string key, Harness harness)
    {
        int documents = 0;
        foreach ((string name, JsonNode? cases) in GoldenItems.Units[key]!.AsObject())
        {
            var task = (RowTask)TaskCatalog.Find(name)!;
            foreach (JsonNode? node in cases!.AsArray())
            {
                TextPair[] requests = [.. task.Read(new TaskRow(name, node!["doc"]!.AsObject()), harness).Requests];
                TextPair[] expected = [.. node["requests"]!.AsArray().Select(pair => new TextPair((string)pair![0]!, (string)pair[1]!))];
                // lm-eval 0.3.0 asks BoolQ's yes first; the order of ours is that of the labels.
                if (name == "boolq" && harness == Harness.V03) Array.Reverse(expected);
                Assert.Equal(expected, requests);
                documents++;
            }
        }
        Assert.True(documents > 20);
    }

    [Theory]
    [InlineData("pairs_new", Harness.V04)]
    [InlineData("pairs_old", Harness.V03)]
    public void Pairs(string key, Harness harness)
    {
        foreach ((string model, JsonNode? cases) in GoldenItems.Units[key]!.AsObject())
        {
            string folder = TestData.Path("models", model == "smollm2" ? "smollm2-135m" : "tinystories-656k");
            ITokenizer tokenizer = TokenizerJson.Load(Path.Combine(folder, "tokenizer.json"));
            using HuggingFaceCheckpoint any = HuggingFaceCheckpoint.Open(TestData.Path("models", "tinystories-656k"));
            var encoder = new PairEncoder(tokenizer, any.Config, harness, AddBos.Auto);
            foreach (JsonNode? pair in cases!.AsArray())
            {
                TokenPair ids = encoder.Encode(new TextPair((string)pair!["context"]!, (string)pair["continuation"]!));
                Assert.Equal(GoldenItems.Ints(pair["ctx_ids"]), ids.Context);
                Assert.Equal(GoldenItems.Ints(pair["cont_ids"]), ids.Continuation);
            }
        }
    }

    [Fact]
    public void WikiTextDetokenizer()
    {
        foreach (JsonNode? page in GoldenItems.Units["wikitext_detokenizer"]!.AsArray())
        {
            string text = (string)page!["page"]!;
            Assert.Equal((string)page["text"]!, WikiText.Detokenize(text));
            Assert.Equal((int)page["words"]!, WikiText.CountWords(text));
            Assert.Equal((int)page["bytes"]!, System.Text.Encoding.UTF8.GetByteCount(text));
        }
    }

    [Fact]
    public void RollingWindows()
    {
        foreach (JsonNode? unit in GoldenItems.Units["rolling_windows"]!.AsArray())
        {
            int[] tokens = [.. Enumerable.Range(0, (int)unit!["tokens"]!)];
            TokenPair[] windows = [.. RollingPerplexity.Windows(tokens, -1, (int)unit["max_len"]!)];
            JsonArray expected = unit["windows"]!.AsArray();
            Assert.Equal(expected.Count, windows.Length);
            for (int i = 0; i < windows.Length; i++)
            {
                Assert.Equal(GoldenItems.Ints(expected[i]![0]), windows[i].Context);
                Assert.Equal(GoldenItems.Ints(expected[i]![1]), windows[i].Continuation);
            }
        }
    }

    [Fact]
    public void MetricsAndErrors()
    {
        JsonNode units = GoldenItems.Units["metrics"]!;
        Metric mean = Metric.Mean(GoldenItems.Doubles(units["mean_stderr"]!["values"]));
        Assert.Equal((double)units["mean_stderr"]!["mean"]!, mean.Value, 1e-14);
        Assert.Equal((double)units["mean_stderr"]!["stderr"]!, mean.StandardError!.Value, 1e-14);
        Metric perplexity = Metric.Perplexity(GoldenItems.Doubles(units["perplexity"]!["ll"]));
        Assert.Equal((double)units["perplexity"]!["value"]!, perplexity.Value, 1e-12);
        foreach (JsonNode? item in units["argmax"]!.AsArray())
        {
            double[] ll = GoldenItems.Doubles(item!["ll"]);
            int[] lengths = GoldenItems.Ints(item["chars"]);
            Assert.Equal((int)item["pred"]!, ItemRecord.FirstLargest(ll));
            Assert.Equal((int)item["pred_norm"]!, ItemRecord.FirstLargest([.. ll.Select((value, i) => value / lengths[i])]));
        }
    }

    /// <summary>Strata of given sizes and errors: of n values, k ones and n - k zeros, with the error that makes.</summary>
    [Fact]
    public void PooledErrorFollowsTheHarness()
    {
        double[][] strata = [[1, 0, 1, 1], [0, 0, 1], [1, 1, 0, 0, 0, 1]];
        Metric pooled = Metric.Pooled(strata);
        double squares = 0;
        foreach (double[] values in strata)
        {
            double error = Metric.Mean(values).StandardError!.Value;
            squares += (values.Length - 1.0) * values.Length * error * error;
        }
        Assert.Equal(Math.Sqrt(squares / (13 - 3) / 13), pooled.StandardError!.Value, 1e-14);
        Assert.Equal(7 / 13.0, pooled.Value, 1e-14);
        // The reference's own case gives errors and sizes alone.
        JsonNode unit = GoldenItems.Units["metrics"]!["pooled"]!;
        double[] errors = GoldenItems.Doubles(unit["stderrs"]);
        int[] sizes = GoldenItems.Ints(unit["sizes"]);
        double[][] spread = [.. errors.Zip(sizes, WithError)];
        Assert.Equal((double)unit["pooled"]!, Metric.Pooled(spread).StandardError!.Value, 1e-12);

        static double[] WithError(double error, int size)
        {
            // Two values at +-d and zeros between have the sample deviation d sqrt(2 / (n - 1)).
            double d = error * Math.Sqrt(size) * Math.Sqrt((size - 1) / 2.0);
            return [d, -d, .. new double[size - 2]];
        }
    }

    [Theory]
    [InlineData(0, 0, 1)]
    [InlineData(5, 0, 0.0625)]
    [InlineData(1, 9, 0.021484375)]
    [InlineData(8, 8, 1)]
    public void SignTest(int better, int worse, double p) => Assert.Equal(p, PairedMetric.SignTest(better, worse), 1e-12);

    [Fact]
    public void MmluGroupsAndSizes()
    {
        JsonObject units = GoldenItems.Units;
        foreach ((string subject, JsonNode? group) in units["mmlu_groups_lm_eval"]!.AsObject())
        {
            Assert.Equal((string)group!, MmluSubjects.GroupOf(subject, Harness.V04));
            Assert.Equal(subject == "anatomy" ? "other" : (string)group!, MmluSubjects.GroupOf(subject, Harness.Hendrycks));
        }
        IReadOnlyList<TaskItem> items = Mmlu.Task.Load(GoldenItems.Data, new TaskSelection());
        var sizes = items.GroupBy(item => item.Subject!).ToDictionary(part => part.Key, part => part.Count());
        Assert.Equal(MmluSubjects.Count, sizes.Count);
        foreach ((string subject, JsonNode? size) in units["mmlu_test_sizes"]!.AsObject()) Assert.Equal((int)size!, sizes[subject]);
        Assert.Equal(14042, items.Count);
    }

    [Theory]
    [InlineData("boolq", 3270)]
    [InlineData("piqa", 1838)]
    [InlineData("hellaswag", 1000)]
    [InlineData("winogrande", 1267)]
    [InlineData("arc_easy", 2376)]
    [InlineData("arc_challenge", 1172)]
    [InlineData("openbookqa", 500)]
    [InlineData("lambada_openai", 5153)]
    [InlineData("copa", 100)]
    [InlineData("wsc273", 273)]
    public void EveryItemIsRead(string task, int items) => Assert.Equal(items, TaskCatalog.Find(task)!.Load(GoldenItems.Data, new TaskSelection()).Count);

    [Theory]
    [InlineData("  a b \u001c\n", "a b")]
    [InlineData("\u3000", "")]
    public void StripIsPythons(string text, string stripped) => Assert.Equal(stripped, PythonText.Strip(text));

    [Theory]
    [InlineData("éLAN Builds", "Élan builds")]
    [InlineData("ßA", "Ssa")]
    [InlineData("ǆAB", "ǅab")]
    [InlineData("3D", "3d")]
    public void CapitalizeIsPythons(string text, string expected) => Assert.Equal(expected, PythonText.Capitalize(text));

    [Theory]
    [InlineData("añ", 2)]
    [InlineData("😀x", 2)]
    public void LengthCountsCodePoints(string text, int length) => Assert.Equal(length, PythonText.Length(text));
}
