namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>A figure with its interval.</summary>
/// <param name="Name">What stands in front of it.</param>
/// <param name="Value">The figure.</param>
/// <param name="Half">Half of its interval; null where there is none.</param>
/// <param name="Text">What stands behind it.</param>
internal sealed record Interval(string Name, double Value, double? Half, string Text);

/// <summary>Figures with intervals about a line at 0, as SVG.</summary>
internal static class IntervalChart
{
    private const int Row = 26, Top = 26, Bottom = 40;

    /// <summary>Draws them.</summary>
    /// <param name="frame">What they are drawn on.</param>
    /// <param name="intervals">The figures.</param>
    public static Markup Draw(ChartFrame frame, IReadOnlyList<Interval> intervals)
    {
        Interval[] drawn = [.. intervals.Where(one => double.IsFinite(one.Value) && Math.Abs(one.Value) < 1e9)];
        var picture = new Picture(frame.Id, frame.Width, Top + (Row * drawn.Length) + Bottom, frame.Title, string.Join(" ", drawn.Take(20).Select(one => $"{one.Name}: {one.Text}.")));
        picture.Text(6, 16, frame.Up, kind: "soft");
        string[] names = [.. drawn.Select(one => Figure.Short(one.Name, 18))];
        double left = names.Select(name => Figure.Width(name)).DefaultIfEmpty(0).Max() + 14, texts = drawn.Select(one => Figure.Width(one.Text)).DefaultIfEmpty(0).Max() + 14;
        double bottom = Top + (Row * drawn.Length);
        Scale along = Scale.Linear(drawn.SelectMany(one => new[] { one.Value - Half(one), one.Value + Half(one), 0 }), left, Math.Max(left + 40, frame.Width - texts), most: 4);
        foreach (double tick in along.Ticks)
        {
            picture.Line(along[tick], Top, along[tick], bottom, Math.Abs(tick) < 1e-12 ? "axis" : "grid");
            picture.TryText(along[tick], bottom + 16, Scale.Label(tick), "middle", "soft");
        }
        for (int i = 0; i < drawn.Length; i++)
        {
            double y = Top + (i * Row) + 13;
            picture.Text(left - 8, y + 4, names[i], "end");
            picture.Line(along[drawn[i].Value - Half(drawn[i])], y, along[drawn[i].Value + Half(drawn[i])], y, "whisker s0");
            picture.Point(along[drawn[i].Value], y, 0, $"{drawn[i].Name}: {drawn[i].Text}");
            picture.Text(frame.Width - 4, y + 4, drawn[i].Text, "end");
        }
        picture.Text(frame.Width / 2.0, picture.Height - 6, frame.Along, "middle", "soft");
        return picture.End();
    }

    private static double Half(Interval one) => one.Half is { } half && double.IsFinite(half) && half is >= 0 and < 1e9 ? half : 0;
}
