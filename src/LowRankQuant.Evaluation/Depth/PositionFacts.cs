using System.Numerics;
using LowRankQuant.Numerics;

namespace LowRankQuant.Evaluation.Depth;

/// <summary>What both models say at one position.</summary>
/// <param name="Expected">The reference's most probable token.</param>
/// <param name="Probability">The probability that the reference gives it.</param>
/// <param name="Kept">The probability that the model gives it.</param>
/// <param name="Found">The model's most probable token.</param>
/// <param name="FoundProbability">The probability that the model gives it.</param>
/// <param name="Margin">ln of the reference's most probable token's probability over the second's, nats; not a number of a vocabulary of one token.</param>
/// <param name="ModelMargin">The same of the model between the same two tokens.</param>
internal readonly record struct PositionFacts(int Expected, double Probability, double Kept, int Found, double FoundProbability, double Margin, double ModelMargin)
{
    /// <summary>Whether both hold the same token for the most probable.</summary>
    public bool Agrees => Expected == Found;

    /// <summary>Reads them off a row of logits of each.</summary>
    /// <param name="reference">The reference's, [vocabulary].</param>
    /// <param name="referenceLogSumExp">Their log of the sum of exponentials.</param>
    /// <param name="expected">Their first largest.</param>
    /// <param name="model">The model's, [vocabulary].</param>
    /// <param name="modelLogSumExp">Their log of the sum of exponentials.</param>
    /// <param name="found">Their first largest.</param>
    public static PositionFacts Of(
        ReadOnlySpan<float> reference, double referenceLogSumExp, int expected, ReadOnlySpan<float> model, double modelLogSumExp, int found)
    {
        int second = Second(reference, expected);
        return new PositionFacts(
            expected,
            Probability(reference[expected] - referenceLogSumExp),
            Probability(model[expected] - modelLogSumExp),
            found,
            Probability(model[found] - modelLogSumExp),
            second < 0 ? double.NaN : (double)reference[expected] - reference[second],
            second < 0 ? double.NaN : (double)model[expected] - model[second]);

        // The sum is rounded to single precision.
        static double Probability(double log) => Math.Min(1, Math.Exp(log));
    }

    /// <summary>Of all rows of two matrices of logits, on the device's threads; a row is computed by itself, so their number changes nothing.</summary>
    /// <param name="reference">[rows, vocabulary].</param>
    /// <param name="referenceStatistics">Of its rows.</param>
    /// <param name="model">[rows, vocabulary].</param>
    /// <param name="modelStatistics">Of its rows.</param>
    public static PositionFacts[] OfRows(Tensor reference, RowStatistics referenceStatistics, Tensor model, RowStatistics modelStatistics)
    {
        var facts = new PositionFacts[reference.Rows];
        reference.Device.HostWorkers.Run(facts.Length, row => facts[row] = Of(
            reference.RowRange(row, 1).Span, referenceStatistics.LogSumExp[row], referenceStatistics.Largest[row],
            model.RowRange(row, 1).Span, modelStatistics.LogSumExp[row], modelStatistics.Largest[row]));
        return facts;
    }

    /// <summary>Index of the first largest element beside one; -1 where there is no other.</summary>
    internal static int Second(ReadOnlySpan<float> row, int first)
    {
        int before = FirstLargest(row[..first]), behind = FirstLargest(row[(first + 1)..]);
        if (behind < 0) return before;
        behind += first + 1;
        return before < 0 || row[behind] > row[before] ? behind : before;
    }

    // The largest by vectors, then the place where it stands.
    private static int FirstLargest(ReadOnlySpan<float> values)
    {
        if (values.IsEmpty) return -1;
        int lanes = Vector<float>.Count, at = 0;
        float largest = values[0];
        if (values.Length >= lanes)
        {
            var most = new Vector<float>(values);
            for (at = lanes; at <= values.Length - lanes; at += lanes) most = Vector.Max(most, new Vector<float>(values[at..]));
            for (int i = 0; i < lanes; i++) largest = Math.Max(largest, most[i]);
        }
        for (; at < values.Length; at++) largest = Math.Max(largest, values[at]);
        var wanted = new Vector<float>(largest);
        int place = 0;
        while (place <= values.Length - lanes && !Vector.EqualsAny(wanted, new Vector<float>(values[place..]))) place += lanes;
        while (place < values.Length - 1 && values[place] != largest) place++;
        return place;
    }
}

/// <summary>What kernels say of rows of logits.</summary>
/// <param name="LogSumExp">Log of the sum of exponentials of each row.</param>
/// <param name="Largest">Index of the first largest element of each row.</param>
internal sealed record RowStatistics(float[] LogSumExp, int[] Largest);
