using LowRankQuant.Models;
using LowRankQuant.Models.Tokenizers;

namespace LowRankQuant.Evaluation.Depth;

/// <summary>
/// Looks on while a model is compared with its reference, position by position and in their order, and makes the report in depth of it: what is computed of a position is computed by
/// itself, and sums are taken in order, so that neither threads nor batches change a bit of it.
/// </summary>
public sealed class DepthCollector
{
    private readonly DepthOptions _options;
    private readonly DivergenceSample _divergences = new();
    private readonly ConfidenceSums _confidence = new();
    private readonly MarginSums _margins = new();
    private readonly FormatSums? _format;
    private readonly FlipList _flips = new(DepthOptions.Flips);
    private readonly List<DepthWindow> _windows = [];
    private int _lastWindow = -1;

    /// <summary>Prepares for one evaluation.</summary>
    /// <param name="options">What is looked at.</param>
    /// <param name="model">The model that names the tokens that end a text and has the chat template; not owned, nothing of it is loaded.</param>
    /// <param name="tokenizer">The tokenizer that made the windows; null where there is none: then no token is known to carry format, and tokens stand as numbers.</param>
    public DepthCollector(DepthOptions options, CausalModel model, ITokenizer? tokenizer)
    {
        _options = options;
        Tokenizer = tokenizer;
        _format = tokenizer is null ? null : new FormatSums(new FormatMarkers(tokenizer, model.Checkpoint.ReadChatTemplate(), model.Config), tokenizer);
    }

    /// <summary>What is looked at.</summary>
    internal DepthOptions Options => _options;

    /// <summary>Spells tokens; null for none.</summary>
    internal ITokenizer? Tokenizer { get; }

    /// <summary>The first windows.</summary>
    internal IReadOnlyList<DepthWindow> Windows => _windows;

    /// <summary>Tokens of all windows.</summary>
    internal long Tokens { get; private set; }

    /// <summary>Adds positions; those must come in order.</summary>
    /// <param name="rows">The logits of both models.</param>
    /// <param name="divergences">KL(reference || model) of every row, nats.</param>
    internal void Add(ComparedRows rows, ReadOnlySpan<double> divergences)
    {
        if (rows.Window != _lastWindow)
        {
            _lastWindow = rows.Window;
            Tokens += rows.Ids.Length;
            if (_windows.Count < Math.Max(DepthOptions.Samples, _options.SwapWindows ?? DepthOptions.UsualSwapWindows))
                _windows.Add(new DepthWindow(rows.Ids, rows.FirstCompared, rows.EndCompared));
        }
        PositionFacts[] facts = PositionFacts.OfRows(rows.Reference, rows.ReferenceStatistics, rows.Model, rows.ModelStatistics);
        for (int i = 0; i < facts.Length; i++)
        {
            int position = rows.First + i;
            if (position >= rows.FirstCompared && position < rows.EndCompared) Add(rows, position, facts[i], divergences[i]);
        }
    }

    /// <summary>The report without samples and modules, which take passes of their own; at least one position.</summary>
    internal DepthReport Result() => new()
    {
        Divergence = _divergences.Result(),
        ByConfidence = _confidence.Result(),
        Format = _format?.Result() ?? [],
        Margin = _margins.Result(),
        Flips = _flips.Result(new TokenWords(Tokenizer)),
    };

    private void Add(ComparedRows rows, int position, in PositionFacts facts, double divergence)
    {
        _divergences.Add(divergence);
        _confidence.Add(facts.Probability, divergence, facts.Agrees);
        _margins.Add(facts.Margin, facts.ModelMargin);
        if (position + 1 < rows.Ids.Length) _format?.Add(rows.Ids[position + 1], divergence, facts.Agrees);
        _flips.Add(rows.Window, rows.Ids, position, facts, divergence);
    }
}
