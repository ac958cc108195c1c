namespace LowRankQuant.Quantization.Methods.Budget;

/// <summary>
/// Spends a budget of stored bits over all layers where the predicted loss falls most per bit. Per layer only the lower convex hull of (cost, loss)
/// matters: taking hull steps of all layers in the order of their slope minimises the total loss for every total cost that is met exactly. What the
/// last step leaves over is spent on any choice of any layer that still fits.
/// </summary>
internal static class WaterFilling
{
    /// <summary>One choice for every layer, in the order given, with a total cost of at most <paramref name="budget"/>.</summary>
    /// <exception cref="ArgumentException">Even the cheapest choices cost more.</exception>
    public static LayerChoice[] Spend(IReadOnlyList<LayerOptions> layers, double budget)
    {
        LayerChoice[][] hulls = [.. layers.Select(layer => Hull(layer.Choices))];
        var at = new int[hulls.Length];
        LayerChoice[] chosen = [.. hulls.Select(hull => hull[0])];
        double left = budget - chosen.Sum(choice => choice.Cost);
        if (left < 0) throw new ArgumentException($"The cheapest choices need {-left} bits more than the budget.", nameof(budget));
        while (true)
        {
            int best = -1;
            double bestSlope = 0;
            for (int i = 0; i < hulls.Length; i++)
            {
                if (at[i] + 1 >= hulls[i].Length || hulls[i][at[i] + 1].Cost - chosen[i].Cost > left) continue;
                double slope = Slope(chosen[i], hulls[i][at[i] + 1]);
                if (slope <= bestSlope) continue;
                (best, bestSlope) = (i, slope);
            }
            if (best < 0) break;
            LayerChoice next = hulls[best][++at[best]];
            left -= next.Cost - chosen[best].Cost;
            chosen[best] = next;
        }
        while (SpendRest(layers, chosen, ref left))
        {
            // Every step lowers the loss, so this ends.
        }
        return chosen;
    }

    private static bool SpendRest(IReadOnlyList<LayerOptions> layers, LayerChoice[] chosen, ref double left)
    {
        int best = -1;
        LayerChoice bestChoice = default;
        for (int i = 0; i < chosen.Length; i++)
        {
            foreach (LayerChoice choice in layers[i].Choices)
            {
                if (choice.Cost - chosen[i].Cost > left || choice.Loss >= chosen[i].Loss) continue;
                if (best >= 0 && chosen[i].Loss - choice.Loss <= chosen[best].Loss - bestChoice.Loss) continue;
                (best, bestChoice) = (i, choice);
            }
        }
        if (best < 0) return false;
        left -= bestChoice.Cost - chosen[best].Cost;
        chosen[best] = bestChoice;
        return true;
    }

    // Lower convex hull, from the cheapest choice on, with falling loss.
    private static LayerChoice[] Hull(IReadOnlyList<LayerChoice> choices)
    {
        var hull = new List<LayerChoice>();
        foreach (LayerChoice choice in choices.OrderBy(choice => choice.Cost).ThenBy(choice => choice.Loss))
        {
            if (hull.Count > 0 && choice.Loss >= hull[^1].Loss) continue;
            while (hull.Count > 1 && Slope(hull[^2], hull[^1]) <= Slope(hull[^1], choice)) hull.RemoveAt(hull.Count - 1);
            hull.Add(choice);
        }
        return [.. hull];
    }

    private static double Slope(LayerChoice from, LayerChoice to) => (from.Loss - to.Loss) / (to.Cost - from.Cost);
}
