using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Cli.Options;

/// <summary>What <c>lrq eval</c> is asked, without the models.</summary>
internal sealed record EvalRequest
{
    public string? Text { get; init; }

    public TextSourceOptions TextOptions { get; init; } = new();

    public bool JoinRows { get; init; }

    public string? Ids { get; init; }

    public PerplexityKind Perplexity { get; init; }

    public Harness Harness { get; init; }

    public required TextWindowOptions Windows { get; init; }

    public PerplexityAverage Average { get; init; }

    public AddBos AddBos { get; init; }

    public string? Reference { get; init; }

    public string? ReferenceCache { get; init; }

    public DepthOptions? Depth { get; init; }

    public TaskJob? Tasks { get; init; }

    public bool MeasuresText => Text is not null || Ids is not null;
}
