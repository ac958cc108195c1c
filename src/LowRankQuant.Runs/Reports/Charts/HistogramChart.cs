namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>Counts between borders on a logarithmic scale as SVG, with places that are named.</summary>
internal static class HistogramChart
{
    private const int Left = 14, Right = 14, Bottom = 40, Flag = 17;

    /// <summary>Draws it.</summary>
    /// <param name="frame">What it is drawn on.</param>
    /// <param name="edges">Borders, rising.</param>
    /// <param name="counts">Below the first border, between neighbours, and above the last.</param>
    /// <param name="marks">Places with their names, from left to right.</param>
    public static Markup Draw(ChartFrame frame, IReadOnlyList<double> edges, IReadOnlyList<long> counts, IReadOnlyList<(string Name, double At)> marks)
    {
        double top = 30 + (Flag * marks.Count), bottom = frame.Height - Bottom, all = counts.Sum(count => (double)Math.Max(0, count)), most = counts.Select(count => (double)count).DefaultIfEmpty(0).Max();
        var picture = new Picture(frame.Id, frame.Width, frame.Height, frame.Title, string.Join(" ", marks.Select(mark => $"{mark.Name} {Figure.Number(mark.At, 3)}.")));
        picture.Text(6, 16, frame.Up, kind: "soft");
        double low = Math.Log10(edges[0]), high = Math.Log10(edges[^1]), step = (high - low) / (edges.Count - 1);
        double X(double figure) => Left + ((Math.Clamp(Math.Log10(Math.Max(figure, 1e-300)), low - step, high + step) - low + step) / (high - low + (2 * step)) * (frame.Width - Left - Right));
        for (int i = 0; i < counts.Count && i <= edges.Count; i++)
        {
            double from = i == 0 ? Left : X(edges[i - 1]), to = i == edges.Count ? frame.Width - Right : X(edges[i]), size = most > 0 ? Math.Max(0, counts[i]) / most * (bottom - top) : 0;
            string range = i == 0 ? $"below {Figure.Number(edges[0], 2)}" : i == edges.Count ? $"above {Figure.Number(edges[^1], 2)}" : $"{Figure.Number(edges[i - 1], 2)} to {Figure.Number(edges[i], 2)}";
            picture.Rectangle(from, bottom - size, to - from - 1, size, "fill s0", $"{range}: {Figure.Count(counts[i])} ({Figure.Percent(all > 0 ? counts[i] / all : 0)})");
        }
        picture.Line(Left, bottom, frame.Width - Right, bottom, "axis");
        for (int power = (int)Math.Ceiling(low); power <= high; power += 1)
        {
            double x = X(Math.Pow(10, power));
            picture.Line(x, bottom, x, bottom + 4, "axis");
            picture.TryText(x, bottom + 17, Scale.Label(Math.Pow(10, power)), "middle", "soft");
        }
        picture.Text(frame.Width / 2.0, frame.Height - 6, frame.Along, "middle", "soft");
        // The rightmost name stands on top, so that no line goes through another name.
        for (int i = 0; i < marks.Count; i++)
        {
            if (!double.IsFinite(marks[i].At)) continue;
            double x = X(marks[i].At), y = 36 + (Flag * (marks.Count - 1 - i));
            string text = $"{marks[i].Name} {Figure.Number(marks[i].At, 3)}";
            picture.Line(x, y + 2, x, bottom, "mark");
            bool left = x - 6 - Figure.Width(text) > 2;
            picture.Text(left ? x - 6 : x + 6, y + 4, text, left ? "end" : "start");
        }
        return picture.End();
    }
}
