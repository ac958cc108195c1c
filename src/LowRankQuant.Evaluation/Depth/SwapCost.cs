using LowRankQuant.Models;

namespace LowRankQuant.Evaluation.Depth;

/// <summary>
/// What exchanging linears one by one costs beside an evaluation, in multiplications by weights of linears and output head. A linear of block b is followed by the blocks from b on and by the head;
/// an evaluation takes every token through all blocks and the head of both models.
/// </summary>
internal static class SwapCost
{
    /// <summary>The cost for some windows over that of the evaluation.</summary>
    /// <param name="model">The model.</param>
    /// <param name="windows">Tokens of the windows that linears are exchanged on.</param>
    /// <param name="evaluated">Tokens of all windows.</param>
    public static double Ratio(CausalModel model, long windows, long evaluated)
    {
        double head = (double)model.Config.VocabularySize * model.Config.HiddenSize, behind = 0, swaps = 0;
        for (int i = model.Config.Layers - 1; i >= 0; i--)
        {
            behind += model.Layout.AllLinears[i].Sum(linear => (double)linear.Weights);
            int linears = model.Layout.Linears[i].Count;
            // The reference's logits are there for all linears of a block.
            swaps += (linears * (behind + head)) + head;
        }
        // The reference by itself comes first, and once more along the way.
        return windows * (swaps + (2 * behind)) / (evaluated * 2 * (behind + head));
    }

    /// <summary>The most of the first windows that cost no more than the evaluation.</summary>
    /// <param name="model">The model.</param>
    /// <param name="windows">Tokens of the first windows.</param>
    /// <param name="evaluated">Tokens of all windows.</param>
    /// <param name="most">Windows to take at most.</param>
    public static int Affordable(CausalModel model, IReadOnlyList<int> windows, long evaluated, int most)
    {
        int count = 0;
        long tokens = 0;
        while (count < Math.Min(most, windows.Count))
        {
            tokens += windows[count];
            if (Ratio(model, tokens, evaluated) > 1) break;
            count++;
        }
        return count;
    }
}
