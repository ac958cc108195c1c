namespace LowRankQuant.Evaluation.Depth;

/// <summary>Means of margins. A position whose margin is not finite, in either model, is left out.</summary>
internal sealed class MarginSums
{
    // Below this share of the reference's margin one has shrunk.
    private const double ShrunkBelow = 0.5;

    private double _reference;
    private double _model;
    private long _shrunk;
    private long _positions;

    /// <summary>Adds a position.</summary>
    /// <param name="reference">The reference's margin, nats.</param>
    /// <param name="model">The model's between the same tokens.</param>
    public void Add(double reference, double model)
    {
        if (!double.IsFinite(reference) || !double.IsFinite(model)) return;
        _positions++;
        _reference += reference;
        _model += model;
        _shrunk += model < ShrunkBelow * reference ? 1 : 0;
    }

    /// <summary>The means; not a number where no position has a margin, and the ratio where the reference has none on average.</summary>
    public MarginRatio Result() => new(_reference / _positions, _model / _positions, _model / _reference, (double)_shrunk / _positions);
}
