using System.Globalization;
using LowRankQuant.Models;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Measuring;

/// <summary>
/// The grids that round to nearest beside a result lies on: those of the run where the result stores no more than they take, else one uniform grid with at least the bits of the
/// result, as branches and widths chosen by a budget are bits too.
/// </summary>
/// <param name="Recipe">The run's recipe, with these grids.</param>
/// <param name="Name">What the grid is and takes, where it is not the run's own; null where it is.</param>
internal sealed record BaselineGrid(Recipe Recipe, string? Name)
{
    // What no table shows: codes may be padded in their files.
    private const double Unseen = 0.005;

    private const int WidestCode = 8;
    private static readonly int[] GroupSizes = [256, 128, 64, 32, 16, 8];

    /// <summary>Finds it.</summary>
    /// <param name="model">The source.</param>
    /// <param name="recipe">What was done.</param>
    /// <param name="bits">Stored bits per weight of the result, branches counted.</param>
    public static BaselineGrid For(CausalModel model, Recipe recipe, double bits)
    {
        bool mayStoreMore = recipe.MayHaveBranches || recipe.Methods.Any(method => method.Budget is { ChoosesGrids: true });
        if (!mayStoreMore || bits <= StoredSize.GridBits(model, recipe.Scheme) + Unseen) return new BaselineGrid(recipe, null);
        (Recipe Recipe, double Bits)[] enough = [.. Above(recipe)
            .Where(grid => model.Layout.Modules.All(linear => grid.Grid.Divides(linear.InFeatures)))
            .Select(grid => (Recipe: grid, Bits: StoredSize.GridBits(model, grid.Scheme)))
            .Where(grid => grid.Bits >= bits)];
        if (enough.Length == 0) return new BaselineGrid(recipe, null);
        (Recipe nearest, double own) = enough.MinBy(grid => grid.Bits);
        string group = nearest.Granularity == Granularity.Channel ? "per channel" : $"g{nearest.GroupSize}";
        return new BaselineGrid(nearest, string.Create(CultureInfo.InvariantCulture, $"{nearest.Bits} bits {group}: {own:0.00} bits"));
    }

    // Smaller groups of the same width, and wider codes with any groups; of two that take the same, the wider.
    private static IEnumerable<Recipe> Above(Recipe recipe)
    {
        Recipe plain = recipe with { NamedGrid = null, Layers = null };
        int largest = recipe.Granularity == Granularity.Group ? recipe.GroupSize : int.MaxValue;
        for (int bits = WidestCode; bits >= recipe.Bits; bits--)
        {
            if (bits > recipe.Bits) yield return plain with { Bits = bits, Granularity = Granularity.Channel, GroupSize = 0 };
            foreach (int size in GroupSizes.Where(size => bits > recipe.Bits || size < largest)) yield return plain with { Bits = bits, Granularity = Granularity.Group, GroupSize = size };
        }
    }
}
