namespace LowRankQuant.Evaluation.Figures;

/// <summary>Makes means and standard errors of windows as they come, all in double precision and in the order of the windows; keeps none of them.</summary>
internal sealed class EvaluationStatistics(PerplexityAverage average, bool compared)
{
    private readonly RunningMean _windows = new();
    private readonly RunningMean _tokens = new();
    private readonly RunningMean _divergences = new();
    private long _agreements;

    public void Add(WindowScore score)
    {
        var window = new RunningMean();
        window.Add<float>(score.Losses);
        _windows.Add<double>([window.Mean]);
        _tokens.Add<float>(score.Losses);
        if (!compared) return;
        _divergences.Add<double>(score.Divergences!);
        foreach (bool agreement in score.Agreements!) _agreements += agreement ? 1 : 0;
    }

    public EvaluationResult Result()
    {
        var errors = new Dictionary<string, double>();
        bool byWindow = average == PerplexityAverage.Windows;
        double loss = byWindow ? _windows.Mean : _tokens.Mean;
        if ((byWindow && _windows.Count > 1 ? _windows.Error : _tokens.Error) is { } lossError)
        {
            errors["perplexity"] = Math.Exp(loss) * lossError;
            errors["negativeLogLikelihood"] = lossError;
        }
        var result = new EvaluationResult
        {
            Perplexity = Math.Exp(loss),
            NegativeLogLikelihood = loss,
            Tokens = _tokens.Count,
            Windows = (int)_windows.Count,
            StandardErrors = errors,
        };
        if (!compared) return result;
        long positions = _divergences.Count;
        double agreement = (double)_agreements / positions;
        if (_divergences.Error is { } error) errors["klDivergence"] = error;
        if (positions > 1) errors["top1Agreement"] = Math.Sqrt(agreement * (1 - agreement) / (positions - 1));
        return result with { KlDivergence = _divergences.Mean, Top1Agreement = agreement };
    }
}
