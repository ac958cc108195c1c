namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>A named point of a scatter.</summary>
/// <param name="Name">What stands beside it.</param>
/// <param name="X">Along.</param>
/// <param name="Y">Up.</param>
/// <param name="Error">Standard error of the figure upwards; null for none.</param>
/// <param name="Series">Its colour and shape.</param>
internal sealed record NamedPoint(string Name, double X, double Y, double? Error, int Series);

/// <summary>Named points as SVG: a figure on a logarithmic scale against another. Names stand where there is room; hovering over a point names it, too.</summary>
internal static class ScatterChart
{
    private const int Left = 56, Right = 14, Top = 30, Bottom = 40;

    // A line is drawn to scale where it is at most so many times below the lowest point.
    private const double Farthest = 30;

    /// <summary>Draws them.</summary>
    /// <param name="frame">What they are drawn on.</param>
    /// <param name="points">The points; those without a place on the scale are left out.</param>
    /// <param name="level">A line across at a figure upwards, with its name; null for none.</param>
    public static Markup Draw(ChartFrame frame, IReadOnlyList<NamedPoint> points, (string Name, double At)? level = null)
    {
        (string Name, double At)? line = level is { At: > 0 and < 1e100 } named ? ($"{named.Name}: {Figure.Number(named.At, 2)}", named.At) : null;
        NamedPoint[] drawn = [.. points.Where(point => double.IsFinite(point.X) && double.IsFinite(point.Y) && point.Y > 0 && Math.Abs(point.X) < 1e15 && point.Y < 1e100)];
        string description = drawn.Length == 0 ? "Nothing to draw." : string.Join(" ", drawn.Take(12).Select(point => $"{point.Name}: {Figure.Number(point.Y)} at {Figure.Number(point.X)}.")) + (line is { } said ? $" {said.Name}." : "");
        var picture = new Picture(frame.Id, frame.Width, frame.Height, frame.Title, description);
        picture.Text(6, 16, frame.Up, kind: "soft");
        if (drawn.Length == 0) return picture.End();
        double bottom = frame.Height - Bottom;
        // A tenth more on both sides: what is nearly equal shall look so.
        Scale along = Scale.Linear(drawn.SelectMany(point => new[] { 0.9 * point.X, 1.1 * point.X }), Left + 10, frame.Width - Right - 10, most: 5);
        // A level far below would leave the points no room beside each other: it lies at the foot then, and says that it is below.
        bool below = line?.At < drawn.Min(Low) / Farthest;
        Scale up = Scale.Logarithmic(drawn.SelectMany(point => new[] { point.Y, High(point), Low(point) }).Concat(line is { } include && !below ? [include.At] : []), bottom - (below ? 30 : 6), Top + 6);
        LineChart.Axes(picture, along, up, frame);
        double foot = line is null || below ? bottom - 8 : up[line.Value.At];
        if (line is not null)
        {
            picture.Line(Left, foot, frame.Width - Right, foot, "line s7 dashed");
            picture.Take(Left, foot - 2, frame.Width - Right, foot + 2);
        }
        foreach (NamedPoint point in drawn)
        {
            double x = along[point.X];
            if (point.Error is not null)
            {
                picture.Line(x, up[Low(point)], x, up[High(point)], $"whisker s{point.Series % 8}");
                picture.Line(x - 4, up[Low(point)], x + 4, up[Low(point)], $"whisker s{point.Series % 8}");
                picture.Line(x - 4, up[High(point)], x + 4, up[High(point)], $"whisker s{point.Series % 8}");
            }
            picture.Point(x, up[point.Y], point.Series, $"{point.Name}: {Figure.WithError(point.Y, point.Error)} at {Figure.Number(point.X)}", 5.5);
        }
        foreach (NamedPoint point in drawn)
        {
            (double x, double y) = (along[point.X], up[point.Y]);
            string name = Figure.Short(point.Name, 28);
            _ = picture.TryText(x + 11, y + 4, name) || picture.TryText(x - 11, y + 4, name, "end") || picture.TryText(x, y - 12, name, "middle") || picture.TryText(x, y + 22, name, "middle")
                || picture.TryText(x + 9, y - 11, name) || picture.TryText(x + 9, y + 19, name) || picture.TryText(x - 9, y - 11, name, "end") || picture.TryText(x - 9, y + 19, name, "end");
        }
        if (line is { } across)
        {
            string name = below ? $"↓ {across.Name}" : across.Name;
            _ = picture.TryText(frame.Width - Right, foot - 5, name, "end", "soft") || picture.TryText(Left + 4, foot - 5, name, kind: "soft")
                || picture.TryText(frame.Width - Right, foot + 15, name, "end", "soft") || picture.TryText(Left + 4, foot + 15, name, kind: "soft");
        }
        return picture.End();
    }

    private static double High(NamedPoint point) => point.Y + Error(point);

    // An error as large as the figure itself has no end on a scale of logarithms.
    private static double Low(NamedPoint point) => Math.Max(point.Y - Error(point), point.Y / 3);

    private static double Error(NamedPoint point) => point.Error is { } error && double.IsFinite(error) && error >= 0 && error < 1e100 ? error : 0;
}
