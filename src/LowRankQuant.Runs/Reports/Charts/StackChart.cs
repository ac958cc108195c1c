namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>Parts of a whole as pieces of one bar, as SVG, with a legend that has their figures.</summary>
internal static class StackChart
{
    private const int Top = 26, Height = 30, Row = 22;

    /// <summary>Draws them.</summary>
    /// <param name="frame">What they are drawn on; <see cref="ChartFrame.Up"/> says what they are.</param>
    /// <param name="parts">The parts; those of 0 and less have no piece.</param>
    public static Markup Draw(ChartFrame frame, IReadOnlyList<Bar> parts)
    {
        double all = parts.Sum(Size);
        var picture = new Picture(frame.Id, frame.Width, Top + Height + 14 + (Row * parts.Count), frame.Title, string.Join(" ", parts.Select(part => $"{part.Name}: {part.Text}.")));
        picture.Text(6, 16, frame.Up, kind: "soft");
        double x = 6;
        for (int i = 0; i < parts.Count; i++)
        {
            double width = all > 0 ? Size(parts[i]) / all * (frame.Width - 12) : 0;
            if (width > 0) picture.Rectangle(x, Top, Math.Max(0.5, width - 1), Height, $"fill s{parts[i].Series % 8}", $"{parts[i].Name}: {parts[i].Text}");
            x += width;
            double y = Top + Height + 24 + (i * Row);
            picture.Rectangle(8, y - 10, 12, 12, $"fill s{parts[i].Series % 8}");
            picture.Text(28, y, Figure.Short(parts[i].Name, 32));
            picture.Text(frame.Width - 6, y, parts[i].Text, "end");
        }
        return picture.End();
    }

    private static double Size(Bar part) => double.IsFinite(part.Value) && part.Value > 0 && part.Value < 1e18 ? part.Value : 0;
}
