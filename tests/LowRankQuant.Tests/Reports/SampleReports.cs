using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Runs.Reports.Html;

namespace LowRankQuant.Tests.Reports;

/// <summary>Reports made by hand, with everything that a report can have, and always the same.</summary>
internal static class SampleReports
{
    private static readonly string[] Modules = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"];

    /// <summary>A result with everything.</summary>
    public static RunReport Full(int blocks = 16, string method = "lrq", double loss = 0.0412, double bits = 3.19, string text = "a07a116a4bb9b7f3992097d76a5c327bd615b4b8b19cf92da710d997cdbba474") => new()
    {
        Method = method,
        Scheme = "w3 asymmetric g128, BFloat16 scales, searched start",
        Output = "/somewhere/out",
        EvaluationSource = "/texts/wikitext-2-test.txt",
        Measured = new MeasuredText(text, null, AddBos.Auto),
        FullPrecision = new EvaluationResult { Perplexity = 11.34, Tokens = 204_400, Windows = 400, StandardErrors = new Dictionary<string, double> { ["perplexity"] = 0.06 }, ModelBitsPerWeight = 16 },
        Rtn = new EvaluationResult { Perplexity = 13.92, KlDivergence = 0.1713, Top1Agreement = 0.8267, Tokens = 204_400, Windows = 400, BitsPerWeight = 3.25, ModelBitsPerWeight = 4.9, StandardErrors = Errors(0.0024, 0.0012) },
        Result = new EvaluationResult { Perplexity = 11.72, KlDivergence = loss, Top1Agreement = 0.9145, Tokens = 204_400, Windows = 400, BitsPerWeight = bits, ModelBitsPerWeight = 4.85, StandardErrors = Errors(0.0008, 0.0009), Depth = Depth(blocks) },
        Tasks = Tasks(),
        BitsPerWeight = bits,
        CountedBitsPerWeight = bits,
        SourceBitsPerWeight = 16,
        Stored = new StoredParts(180_000_000, 9_000_000, 9_000_000, 136_000_000, 400_000, 40_000, 325_440_000),
        SourceBytes = 1_190_000_000,
        Bf16Bytes = 1_190_000_000,
        EmbeddingBytes = 136_000_000,
        ResultBytes = (long)(325_440_000 * bits / 3.19),
        ResultBitsPerParameter = 4.37,
        RtnBytes = 322_000_000,
        Seconds = 5_480,
        PeakMemoryBytes = 3_400_000_000,
        Blocks = [.. Enumerable.Range(0, blocks).Select(block => new BlockReport(block, 3.2 / (1 + (0.1 * block)), 1.9 / (1 + (0.1 * block)), 2.3 / (1 + (0.1 * block)), 3.3 / (1 + (0.1 * block)), 290 + (17 * (block % 5)))
        {
            PeakMemoryBytes = 3_100_000_000 + (9_000_000L * (block % 7)),
            KeptIteration = 480,
        })],
        Warnings = ["the calibration text has fewer tokens than asked for: 96 windows were cut; give more text or a smaller `samples`."],
        Engines =
        [
            new EngineReport("vLLM", "loads", "3 bits run by the Humming kernel, which is recent; branches are not part of the format.", "0.14.0"),
            new EngineReport("transformers", "loads", "compressed-tensors decompresses 3-bit codes on load.", "5.2.0, compressed-tensors 0.13.0"),
        ],
        Tensors = [.. from block in Enumerable.Range(0, blocks) from module in Modules select new TensorReport(block, module, 1024, 2048, "w3 asymmetric g128", 3, block % 4 == 0 ? 32 : 16, 3.1 + (0.02 * (block % 5)), 0.08 + (0.01 * Wave(block, module))) { Clipped = 0.0004 * Wave(block, module) }],
        Origin = new RunOrigin("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", "0.1.0 simd AVX2, managed 256-bit products", "Some processor, 16 threads, AVX2", ".NET 10.0.1", new string('c', 64), new string('3', 64), new string('f', 64)),
        OutputHash = new string('7', 64),
        Sample = "Once upon a time, there was a little girl named Lily.",
    };

    /// <summary>What only sizes are known of, as an earlier version wrote it.</summary>
    public static RunReport Bare() => new() { Method = "rtn", Scheme = "w4 symmetric channel", Output = "out" };

    /// <summary>As <c>report</c> reads it.</summary>
    public static ReportedResult Named(string name, RunReport report) => new(name, report, "{\n  \"weights\": { \"bits\": 3 }\n}");

    /// <summary>Figures in depth.</summary>
    public static DepthReport Depth(int blocks) => new()
    {
        Divergence = new DivergenceDistribution(204_000, 0.0081, 0.102, 0.464, 1.92, 7.31, [.. Enumerable.Range(0, 34).Select(bin => (long)(30_000 * Math.Exp(-Math.Pow((bin - 16) / 5.0, 2))))]),
        ByConfidence = [.. Enumerable.Range(0, 5).Select(part => new ConfidenceClass(part / 5.0, (part + 1) / 5.0, 20_000 + (9_000 * part), 0.09 - (0.017 * part), 0.78 + (0.05 * part)))],
        Format =
        [
            new FormatTokens("end of text", ["<|endoftext|>"], 400, 0.012, 0.985), new FormatTokens("turn", ["<|im_start|>", "<|im_end|>"], 2_400, 0.021, 0.962),
            new FormatTokens("tool call", ["<tool_call>", "</tool_call>"], 160, 0.21, 0.812),
        ],
        Bf16Floor = new NoiseFloor(0.00021, 0.000004, 0.9931),
        Margin = new MarginRatio(2.41, 2.07, 0.859, 0.118),
        Flips = [.. Enumerable.Range(0, 12).Select(i => new Flip(i, 17 * i, "The capital of the country lies on the river, and its name has been", " Paris", 0.98 - (0.02 * i), 0.31, i % 2 == 0 ? " London" : "\n", 0.42, i == 5 ? null : " Paris", 1.9 - (0.1 * i)))],
        Samples =
        [
            new SampleText("Once upon a time", " there was a small dog who lived in a big house by the sea. Every day he ran to the beach.", " there was a small dog who lived in a tiny hut. The hut was old and the roof was red.", 10, 24, null, null),
            new SampleText("The recipe needs", " two eggs, a cup of flour and some milk.", " two eggs, and eggs, and eggs, and eggs, and eggs, and eggs", 3, 24, null, " and eggs,"),
        ],
        Modules = [.. from block in Enumerable.Range(0, blocks) from module in Modules select new ModuleLoss(block, module, 0.0004 * Math.Exp(0.6 * Wave(block, module)), 3.1 + (0.02 * (block % 5)), 16)],
    };

    private static TaskReport Tasks() => new()
    {
        Harness = "v0.4",
        Source = new TaskSource("w3.tasks.jsonl", new string('1', 64), "full.tasks.jsonl", new string('2', 64)),
        Tasks = new Dictionary<string, TaskResult>
        {
            ["arc_easy"] = Task(0.6312, -0.0093, 0.0051, 2376),
            ["hellaswag"] = Task(0.4721, -0.0162, 0.0032, 10_042),
            ["piqa"] = Task(0.6910, 0.0022, 0.0064, 1838),
        },
    };

    private static TaskResult Task(double value, double difference, double error, int items) => new()
    {
        Items = items,
        Metrics = new Dictionary<string, Metric> { ["acc"] = new(value, 0.009) },
        Against = new Dictionary<string, PairedMetric>
        {
            ["acc"] = new(difference, error, value - difference, items) { PValue = 0.04, Better = 31, Worse = 53 },
            ["choice_kl"] = new(0.02 + (difference * difference), 0.0011, 0, items),
            ["right_choice_log_prob"] = new(difference, error, -1.1, items),
        },
    };

    private static double Wave(int block, string module) => ((block * 7) + (Array.IndexOf(Modules, module) * 5)) % 11 / 2.0;

    private static Dictionary<string, double> Errors(double loss, double top) => new() { ["perplexity"] = 0.07, ["klDivergence"] = loss, ["top1Agreement"] = top };
}
