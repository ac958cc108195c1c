namespace LowRankQuant.Quantization.Methods.ErrorFit;

/// <summary>In which metric a low-rank term is fitted to the error of a rounded weight.</summary>
internal enum ErrorMetric
{
    /// <summary>None: the truncated SVD of the error (LQER).</summary>
    Plain,

    /// <summary>mean |x_j|, floored and normalised (L2QER).</summary>
    MeanMagnitude,

    /// <summary>sqrt(mean x_j^2) (QERA-approx).</summary>
    RootMeanSquare,

    /// <summary>The full covariance (QERA-exact).</summary>
    Covariance,
}
