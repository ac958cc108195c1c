using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Runs.Comparisons;

namespace LowRankQuant.Tests.Reports;

/// <summary>Cells of a comparison made by hand, and layers, always the same.</summary>
internal static class SampleCells
{
    private static readonly string[] Modules = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"];

    /// <summary>Four methods under three schemes, one of which one method does not go with.</summary>
    public static IReadOnlyList<CellResult> Many() =>
    [
        .. from scheme in new[] { (Name: "w4a16", Bits: 4.25, Loss: 0.011), (Name: "w3a16-g128", Bits: 3.19, Loss: 0.05), (Name: "w2a16-g64", Bits: 2.31, Loss: 0.4) }
           from method in new[] { (Name: "rtn", Factor: 3.1), (Name: "gptq", Factor: 1.6), (Name: "lrq", Factor: 1.0), (Name: "flrq+", Factor: 0.8) }
           select Cell(method.Name, scheme.Name, scheme.Bits + (method.Name == "flrq+" ? 0.12 : 0), scheme.Loss * method.Factor, 24),
        new CellResult { Method = "autoround", Scheme = "w4a16", Key = "k", Refusal = "method autoround works on uniform grids alone" },
    ];

    /// <summary>A cell with everything.</summary>
    public static CellResult Cell(string method, string scheme, double bits, double loss, int blocks) => new()
    {
        Method = method,
        Scheme = scheme,
        Key = "key",
        Source = "wikitext-2-test.txt",
        Original = new EvaluationResult { Perplexity = 11.34, StandardErrors = new Dictionary<string, double> { ["perplexity"] = 0.06 } },
        Result = new EvaluationResult { Perplexity = 11.34 * (1 + loss), KlDivergence = loss, Top1Agreement = 1 - (0.4 * loss), StandardErrors = new Dictionary<string, double> { ["klDivergence"] = loss / 40, ["perplexity"] = 0.07, ["top1Agreement"] = 0.001 } },
        BitsPerWeight = bits,
        LearnedParameters = method == "rtn" ? 0 : 1_234_567,
        CalibrationTokens = method == "rtn" ? 0 : 131_072,
        CalibrationHash = method == "rtn" ? null : new string('a', 64),
        OutputErrors =
        [
            new BlockErrors("c4.jsonl", true, 8, 16_384, [.. Enumerable.Range(0, blocks).Select(block => 0.01 * loss * Math.Exp(0.12 * block))]),
            new BlockErrors("wikitext-2-test.txt", false, 8, 16_384, [.. Enumerable.Range(0, blocks).Select(block => 0.012 * loss * Math.Exp(0.13 * block))]),
        ],
        Seconds = 812,
        PeakMemoryBytes = 1_900_000_000,
    };

    /// <summary>Layers of a model of eight blocks.</summary>
    public static IReadOnlyList<LayerReport> Layers() =>
        [.. from block in Enumerable.Range(0, 8) from module in Modules select new LayerReport($"model.layers.{block}.{module}", 1024, 2048, 2 + (block % 3), 8 * (block % 4), 2.5 + (0.1 * block), 0.3 - (0.01 * block), 0.2 - (0.01 * block))];
}
