namespace LowRankQuant.Quantization.Transforms;

/// <summary>What a search over settings found.</summary>
/// <param name="Value">The setting with the smallest error, the first of equal ones.</param>
/// <param name="Tried">All settings, in the order in which they were tried.</param>
/// <param name="Errors">Their errors.</param>
public sealed record SearchedSetting(double Value, IReadOnlyList<double> Tried, IReadOnlyList<double> Errors)
{
    /// <summary>Tries settings.</summary>
    /// <param name="settings">At least one.</param>
    /// <param name="errorOf">The error of a setting; one that is not a number never wins.</param>
    /// <param name="cancellation">Asks to stop.</param>
    /// <exception cref="TransformException">No setting has an error that is a number.</exception>
    public static SearchedSetting Search(IReadOnlyList<double> settings, Func<double, double> errorOf, CancellationToken cancellation = default)
    {
        var errors = new double[settings.Count];
        int best = -1;
        for (int i = 0; i < errors.Length; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            errors[i] = errorOf(settings[i]);
            if (!double.IsNaN(errors[i]) && (best < 0 || errors[i] < errors[best])) best = i;
        }
        if (best < 0) throw new TransformException($"None of {errors.Length} settings gave an error that is a number; weights or inputs are not finite.");
        return new SearchedSetting(settings[best], settings, errors);
    }
}
